"""Events that the training loop yields."""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Event", "Noted", "Saved", "Stepped", "Stopped", "Stops", "Validated"]


@dataclass(frozen=True)
class Stepped:
    """One optimiser step has been taken.

    bands: sum of the losses and number of images per band of noise levels, noisiest first.
    smooth: mean loss of the recent steps, then the mean per band; NaN for a band without images.
    images_per_second: speed of the step, with the time spent waiting for the batch.
    share_of_peak: FLOP/s of training divided by those of a large matrix product on this machine.
    memory: bytes in use; on a GPU, the peak so far.
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
    """A message for the user, with a remedy."""

    step: int
    text: str


@dataclass(frozen=True)
class Validated:
    """The current model has been evaluated on held-out images."""

    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Saved:
    """The run can be resumed from here."""

    step: int


Stops = Callable[[], bool]
"""Return whether training has been asked to stop."""


class Stopped(Exception):
    """The training was asked to stop during work that a resumed run repeats."""


Event = Stepped | Validated | Saved | Noted
