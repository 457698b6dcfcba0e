"""The value range of a whole scene, found window by window, which is stretched to what models know."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sr3.errors import ImageError
from sr3.images.scenes import Scene
from sr3.upscaling.value_range import AUTO, NARROW, TYPE

__all__ = ["Range", "scene_range"]

_ROWS = 256


class Range(NamedTuple):
    """The lowest and the highest number that are used."""

    low: float
    high: float

    def stretch(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take numbers of the range to [-1, 1]; what lies outside is held at its ends."""
        return np.clip((values - self.low) * (2 / (self.high - self.low)) - 1, -1, 1)

    def put_back(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take [-1, 1] back to the range."""
        return (np.clip(pixels, -1, 1) + 1) * ((self.high - self.low) / 2) + self.low


def scene_range(scene: Scene, asked: str | tuple[float, float] | None) -> Range:
    """Find the range of all bands together: the ends asked for, those of the type, or by the data for `auto`.

    Raises ImageError for floats outside 0 to 1 without a range, and for a range that the type cannot hold.
    """
    kind = scene.kind
    whole = kind.kind != "f"
    first, last = (float(np.iinfo(kind).min), float(np.iinfo(kind).max)) if whole else (0.0, 1.0)
    if isinstance(asked, tuple):
        if whole and (asked[0] < first or asked[1] > last):
            raise ImageError(
                f"{scene.path}: the range {asked[0]:g},{asked[1]:g} is not within {first:g} to {last:g} of its data "
                "type; give another --range"
            )
        return Range(*asked)
    if whole and asked == TYPE:
        return Range(first, last)
    least, most = _ends(scene)
    if asked == AUTO:
        return _found(least, most, kind, Range(first, last))
    if not whole and (least < 0 or most > 1):
        raise ImageError(
            f"{scene.path}: holds floats from {least:g} to {most:g}, outside 0 to 1; "
            "say which are used with --range LOW,HIGH or --range auto"
        )
    if whole and kind.itemsize > 1 and (most - min(least, 0)) / (last - first) < NARROW:
        warnings.warn(
            f"{scene.path}: uses only {least:g} to {most:g} of {first:g} to {last:g}, which makes results grainy; "
            "--range auto stretches the values for the model and maps the result back",
            stacklevel=2,
        )
    return Range(first, last)


def _found(least: float, most: float, kind: np.dtype[Any], all_there_are: Range) -> Range:
    if kind.kind != "f" and least >= 0:
        least, most = 0.0, float(2 ** max(1, int(most).bit_length()) - 1)
    return Range(least, most) if least < most else all_there_are


def _ends(scene: Scene) -> tuple[float, float]:
    """Find the least and the largest number of all data; 0 and 1 where there are none."""
    least, most, side = np.inf, -np.inf, 16 * _ROWS
    height, width = scene.dataset.height, scene.dataset.width
    for top in range(0, height, _ROWS):
        for left in range(0, width, side):
            values, valid = scene.read(top, left, min(_ROWS, height - top), min(side, width - left))
            if valid.any():
                least, most = min(least, float(values[valid].min())), max(most, float(values[valid].max()))
    return (least, most) if least <= most else (0.0, 1.0)
