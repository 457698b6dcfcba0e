"""What happens in a training, as it is told to whoever reads it."""

from dataclasses import dataclass, field

__all__ = ["Event", "Saved", "Stepped", "Validated"]


@dataclass(frozen=True)
class Stepped:
    """One optimiser step has been taken.

    bands: sum of the losses and number of images by band of noise level, low signal first.
    """

    step: int
    loss: float
    learning_rate: float
    images_per_second: float
    bands: tuple[tuple[float, int], ...] = field(default=())


@dataclass(frozen=True)
class Validated:
    """The model so far has been measured on held-out images."""

    step: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Saved:
    """The run can be resumed from here."""

    step: int


Event = Stepped | Validated | Saved
