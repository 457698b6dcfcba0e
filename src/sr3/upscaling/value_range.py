"""Normalisation of an image's value range before upscaling, undone afterwards.

Cameras of 12 bits, radiology and reflectance keep their numbers in 16 bits and use the lower ones. Models know images
that use all: what is darker than a sixteenth of the range comes out grainy, and may leave the range that was used.
"""

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from sr3.errors import ConfigError, ImageError
from sr3.images.picture import Numbers, Picture

__all__ = ["AUTO", "NARROW", "TYPE", "ValueRange", "Values", "find_range", "parse_range", "stretched", "warn_of_narrow"]

AUTO, TYPE = "auto", "type"
Values = tuple[float, float] | Literal["auto", "type"] | None
"""The numbers that an image uses: (low, high), found by themselves, or all there are; None warns of few."""

NARROW = 1 / 8
"""Share of 16 bits below which an image that uses no more is warned of."""


@dataclass(frozen=True)
class ValueRange:
    """The lowest and the highest value that are used, as pixels in [-1, 1]."""

    low: float
    high: float

    def stretch(self, pixels: Tensor) -> Tensor:
        """Take pixels of the range to [-1, 1]; what lies outside is held at its ends."""
        return ((pixels - self.low) * (2 / (self.high - self.low)) - 1).clamp(-1, 1)

    def put_back(self, pixels: Tensor) -> Tensor:
        """Take [-1, 1] back to the range."""
        return (pixels + 1) * ((self.high - self.low) / 2) + self.low


def parse_range(text: str) -> str | tuple[float, float]:
    """Read `auto`, `type` or `LOW,HIGH`, in the numbers of the file; ConfigError for anything else."""
    if text in (AUTO, TYPE):
        return text
    low, comma, high = text.partition(",")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (math.nan, math.nan)
    if not comma or not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
        raise ConfigError(
            f"--range {text}: write auto, type, or the lowest and the highest number as LOW,HIGH, e.g. 0,4095"
        )
    return ends


def find_range(asked: str | tuple[float, float], pixels: Tensor, numbers: Numbers, name: str) -> ValueRange:
    """Find the range of pixels in [-1, 1] that stand for such numbers; ImageError where it does not lie within them.

    asked: the ends in those numbers; or `auto`: of whole numbers 0 and as many bits as the largest needs, of others the
    least and the largest there are; or `type`: all there are.
    """
    first, last = numbers.least, numbers.most
    if asked == TYPE:
        asked = (first, last)
    if isinstance(asked, str):
        least, most = ((float(end) + 1) / 2 * (last - first) + first for end in (pixels.min(), pixels.max()))
        asked = (0.0, float(2 ** max(1, round(most).bit_length()) - 1)) if numbers.are_whole else (least, most)
        if asked[0] >= asked[1]:
            asked = (first, last)
    low, high = asked
    if low < first or high > last or low >= high:
        raise ImageError(
            f"{name}: the range {low:g},{high:g} is not within the {first:g} to {last:g} that the image can hold; give "
            "another"
        )
    return ValueRange(*((end - first) / (last - first) * 2 - 1 for end in (low, high)))


def stretched(
    picture: Picture, asked: str | tuple[float, float] | None, path: Path
) -> tuple[Picture, ValueRange | None]:
    """Stretch an image as asked; without being asked leave it, and warn where it uses little of 16 bits."""
    numbers = Numbers.of_depth(picture.depth)
    if asked is None:
        warn_of_narrow(picture.pixels, numbers, str(path), "--range auto")
        return picture, None
    if asked == TYPE:
        return picture, None
    found = find_range(asked, picture.pixels, numbers, str(path))
    return replace(picture, pixels=found.stretch(picture.pixels)), found


def warn_of_narrow(pixels: Tensor, numbers: Numbers, name: str, remedy: str) -> None:
    """Warn of whole numbers of 16 bits of which less than an eighth are used."""
    share = (float(pixels.max()) + 1) / 2
    if numbers == Numbers.of_depth(16) and 0 < share < NARROW:
        warnings.warn(
            f"{name}: uses only the lower {round(share * 65535) + 1:,} of 65,536 levels, which makes results grainy; "
            f"{remedy} stretches the values for the model and maps the result back",
            stacklevel=3,
        )
