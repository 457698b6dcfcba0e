"""Means of the square window around each pixel, by sums along one side and then the other."""

from functools import reduce
from operator import add

from torch import Tensor
from torch.nn.functional import pad

from sr3.types import Image

__all__ = ["local_mean"]


def local_mean(image: Image, side: int) -> Image:
    """Average images (b, c, h, w) over the window of an odd side in pixels around each pixel.

    Images are reflected at their borders, or repeated there where one is too small for that.
    """
    reach = side // 2
    around = pad(image, (reach,) * 4, mode="reflect" if min(image.shape[-2:]) > reach else "replicate")
    return _sums(_sums(around, side, -2) / side, side, -1) / side


def _sums(image: Tensor, side: int, dim: int) -> Tensor:
    """Sum each `side` neighbours along a dimension: sums of 1, 2, 4 and so on, of which those that make up the side."""
    count = image.shape[dim] - side + 1
    parts, taken, width = [], 0, 1
    while True:
        if side & width:
            parts.append(image.narrow(dim, taken, count))
            taken += width
        if taken == side:
            return reduce(add, parts)
        shorter = image.shape[dim] - width
        image = image.narrow(dim, 0, shorter) + image.narrow(dim, width, shorter)
        width *= 2
