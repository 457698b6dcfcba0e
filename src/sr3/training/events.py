"""Events that the training loop yields."""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Event", "Noted", "Saved", "Stepped", "Stopped", "Stops", "Validated"]


@dataclass(frozen=True)
class Stepped:
    """One optimiser step has been taken.

    bands: sum of the losses and number of images by band of noise level, low signal first.
    smooth: mean loss of the last steps, and by band; NaN for a band that no image fell into.
    images_per_second: in the time of the step, from asking for the batch to its end.
    share_of_peak: FLOP/s reached, as a share of what this machine reaches in a large matrix product.
    memory: bytes held, on a GPU the most so far.
    """

    step: int
    loss: float
    learning_rate: float
    images_per_second: float
    bands: tuple[tuple[float, int], ...] = ()
    smooth: tuple[float, ...] = ()
    share_of_peak: float = math.nan
    memory: int = 0


@dataclass(frozen=True)
class Noted:
    """Something a person should know, with what to do about it."""

    step: int
    text: str


@dataclass(frozen=True)
class Validated:
    """The model so far has been measured on held-out images."""

    step: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Saved:
    """The run can be resumed from here."""

    step: int


Stops = Callable[[], bool]
"""Tells whether a training has been told to end."""


class Stopped(Exception):
    """Work that is repeated on resuming was given up, for the training was told to end."""


Event = Stepped | Validated | Saved | Noted
