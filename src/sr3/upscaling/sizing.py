"""The requested size of a result, and the passes by which a model of fixed magnification reaches it.

Below the model's own magnification its sample is reduced; above, the model enlarges its own result again, as the
paper's cascades do with several models. Knows no network.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

from sr3.errors import ConfigError, ImageError
from sr3.sampling.plan import SamplingPlan

__all__ = ["OWN_SIZE", "Enlargement", "Sizing", "parse_box", "steps_of"]

_TOLERANCE = 1e-9


class Enlargement(NamedTuple):
    """From width x height to another size: how often the model is applied, each time `own` times as large."""

    width: int
    height: int
    target_width: int
    target_height: int
    own: int
    passes: int

    @property
    def target(self) -> tuple[int, int]:
        """Width and height of the result."""
        return self.target_width, self.target_height

    @property
    def largest(self) -> tuple[int, int]:
        """Width and height of what the last pass gives."""
        return self.width * self.own**self.passes, self.height * self.own**self.passes

    @property
    def ratio(self) -> tuple[float, float]:
        """How much wider and higher the result is."""
        return self.target_width / self.width, self.target_height / self.height

    @property
    def is_plain(self) -> bool:
        """Whether the model is applied once and its sample is the result."""
        return self.passes == 1 and self.target == self.largest


@dataclass(frozen=True)
class Sizing:
    """How large results are asked to be: one of these, or none for the model's own magnification.

    scale: times as wide and high. width, height, long_side: in pixels, the other side following. megapixels: of the
    result. fit: the largest size within a box of (width, height).
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    megapixels: float | None = None
    fit: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError when more than one is asked for, or a number that is none."""
        asked = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if len(asked) > 1:
            names = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
            raise ConfigError(f"{names} each set the size of the result; give one of them")
        for name in asked:
            value = getattr(self, name)
            if not all(0 < number < float("inf") for number in (value if isinstance(value, tuple) else (value,))):
                raise ConfigError(f"--{name.replace('_', '-')} {value}: give a number above 0")

    @property
    def is_own(self) -> bool:
        """Whether the model's own magnification is taken."""
        return self == Sizing()

    def plan(self, width: int, height: int, own: int, name: object) -> Enlargement:
        """Say how an image of a size gets there; ImageError, with the name, where it would not become larger."""
        wide, high = self._target(width, height, own)
        ratio = max(wide / width, high / height)
        if not self.is_own and own > 1 and (wide < width or high < height or (wide, high) == (width, height)):
            raise ImageError(
                f"{name}: is {width}x{height}, and a result of {wide}x{high} would not be larger; ask for a larger "
                "one, or "
                "use the image as it is"
            )
        if own == 1 and (wide, high) != (width, height):
            raise ImageError(
                f"{name}: {wide}x{high} is asked for, but the model restores images without enlarging them; leave the "
                "size out"
            )
        passes = 1
        while own > 1 and own**passes < ratio * (1 - _TOLERANCE):
            passes += 1
        return Enlargement(width, height, wide, high, own, passes)

    def _target(self, width: int, height: int, own: int) -> tuple[int, int]:
        if self.width is not None:
            return self.width, max(1, round(height * self.width / width))
        if self.height is not None:
            return max(1, round(width * self.height / height)), self.height
        ratio = self._ratio(width, height, own)
        return max(1, round(width * ratio)), max(1, round(height * ratio))

    def _ratio(self, width: int, height: int, own: int) -> float:
        if self.long_side is not None:
            return self.long_side / max(width, height)
        if self.megapixels is not None:
            return (self.megapixels * 1e6 / (width * height)) ** 0.5
        if self.fit is not None:
            return min(self.fit[0] / width, self.fit[1] / height)
        return float(own) if self.scale is None else self.scale


OWN_SIZE = Sizing()
"""The model's own magnification."""


def parse_box(text: str) -> tuple[int, int]:
    """Read `WIDTHxHEIGHT`; ConfigError for anything else."""
    wide, cross, high = text.lower().partition("x")
    if not (cross and wide.isdecimal() and high.isdecimal()):
        raise ConfigError(f"--fit {text}: write the box as WIDTHxHEIGHT, e.g. 1920x1080")
    return int(wide), int(high)


def steps_of(sampling: SamplingPlan, passes: int) -> int:
    """Count the steps of all passes."""
    return sum(sampling.of_pass(number).steps for number in range(passes))
