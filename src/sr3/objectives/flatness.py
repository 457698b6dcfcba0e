"""The grain loss: excess of fine structure over the truth where the truth is flat.

Losses of features see the direction of a place's features and not their length, so faint ripples cost them as much as
strong ones, and a discriminator on such features even asks for them. This term is ours.
"""

from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from sr3.images.flatness import flatness
from sr3.types import Image

__all__ = ["grain_loss"]

_WINDOW = 17
_FINE = 9
"""Side of the window whose mean is taken away from fine structure, in pixels."""
_LEAST = 0.5
"""Levels of 255 that are added to a deviation in squares, so that the root has a slope at 0."""


def grain_loss(answer: Image, truth: Image) -> Tensor:
    """Compare the local deviations of what is finer than 9 pixels where the truth is flat, shape (b,).

    Both (b, c, h, w) in [-1, 1]. The absolute difference of the deviations within windows of 17x17 pixels, weighted by
    `flatness`, mean over pixels and channels.
    """
    difference = (_deviation(answer) - _deviation(truth)).abs()
    return (difference * flatness(truth)).mean(dim=(1, 2, 3))


def _deviation(image: Image) -> Tensor:
    fine = image - _mean(image, _FINE)
    return (_mean(fine.square(), _WINDOW) + (_LEAST / 127.5) ** 2).sqrt()


def _mean(image: Image, side: int) -> Tensor:
    return avg_pool2d(pad(image, (side // 2,) * 4, mode="reflect"), side, 1)
