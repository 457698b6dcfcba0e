"""Where a truth is flat, such as a wall or the sky, and how much finer structure an answer has there than the truth.

Losses of features see the direction of a place's features and not their length, so faint ripples cost them as much as
strong ones, and a discriminator on such features even asks for them. These terms are ours.
"""

from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from sr3.types import Image

__all__ = ["flatness", "grain_loss"]

_WINDOW = 17
_DEVIATION = 4.0
"""Levels of 255 of deviation at which a place is half flat, before the square."""
_FINE = 9
"""Side of the window whose mean is taken away from fine structure, in pixels."""
_LEAST = 0.5
"""Levels of 255 that are added to a deviation in squares, so that the root has a slope at 0."""


def flatness(truth: Image) -> Tensor:
    """Say how flat pictures (b, c, h, w) in [-1, 1] are around each pixel: 1 to 0, shape (b, 1, h, w).

    (1 + (s / 4)^2)^-2 for the largest deviation s of a channel, in levels of 255, within windows of 17x17 pixels, which
    are reflected at the border.
    """
    levels = truth * 127.5
    variance = (_mean(levels.square(), _WINDOW) - _mean(levels, _WINDOW).square()).clamp(min=0)
    return (1 + variance.amax(1, keepdim=True) / _DEVIATION**2) ** -2


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
