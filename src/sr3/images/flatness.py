"""Flat areas of an image, such as a wall or the sky."""

from collections.abc import Callable

from torch import Tensor

from sr3.images.local import local_mean
from sr3.types import Image

__all__ = ["REACH", "flatness"]

REACH = 8
"""Pixels to each side that the flatness of a pixel depends on."""
_WINDOW = 2 * REACH + 1


def flatness(image: Image, *, deviation: float = 4.0, average: Callable[[Image, int], Image] = local_mean) -> Tensor:
    """Say how flat images (b, c, h, w) in [-1, 1] are around each pixel: 1 to 0, shape (b, 1, h, w).

    (1 + (s / deviation)^2)^-2 for the largest deviation s of a channel, in levels of 255, within windows of 17x17
    pixels. Images are reflected at their borders, or repeated there where a side is shorter than 9.
    average: takes the mean over windows, as `local_mean`.
    """
    levels = image * 127.5
    variance = (average(levels.square(), _WINDOW) - average(levels, _WINDOW).square()).clamp(min=0)
    return (1 + variance.amax(1, keepdim=True) / deviation**2) ** -2
