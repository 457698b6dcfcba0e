"""The grain loss: error in the strength of fine structure where the truth is flat.

Feature losses that normalise features see their direction and not their length. Faint ripples cost them as much as
strong ones, and a discriminator on such features even rewards ripples. This term is ours.
"""

from torch import Tensor

from sr3.images.flatness import flatness
from sr3.images.local import local_mean
from sr3.types import Image

__all__ = ["grain_loss"]

_WINDOW = 17
_FINE = 9
"""Side in pixels of the window whose mean is subtracted to obtain fine structure."""
_LEAST = 0.5
"""Levels of 255 whose square is added to the variance, so that the square root has a finite slope at 0."""


def grain_loss(answer: Image, truth: Image) -> Tensor:
    """Compare the local standard deviations of structure finer than 9 pixels where the truth is flat, shape (b,).

    Both images are (b, c, h, w) in [-1, 1]. The loss is the absolute difference of the standard deviations within
    windows of 17x17 pixels, weighted by `flatness`, mean over pixels and channels.
    """
    difference = (_deviation(answer) - _deviation(truth)).abs()
    return (difference * flatness(truth)).mean(dim=(1, 2, 3))


def _deviation(image: Image) -> Tensor:
    fine = image - local_mean(image, _FINE)
    return (local_mean(fine.square(), _WINDOW) + (_LEAST / 127.5) ** 2).sqrt()
