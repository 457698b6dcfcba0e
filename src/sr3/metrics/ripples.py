"""Ripples: the energy of fine structure where the truth is flat, such as a wall or the sky."""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from sr3.types import Image

__all__ = ["ripples"]

_WAVELENGTH = 8.0
"""Pixels; the Gaussian passes half of the amplitude at this wavelength, and the rest is what is measured."""
_FLAT_DEVIATION = 2 / 255
"""Deviation of the truth in [0, 1], in each channel, below which its surroundings are flat."""
_FLAT_SIDE = 17
"""Side of those surroundings, in pixels."""
_LEAST = 1000
"""Flat pixels without which a picture has no figure."""


def ripples(image: Image, truth: Image) -> Tensor:
    """Energy of structures of 2 to 8 pixels where the truth is flat, divided by the truth's there, shape (b,).

    Both (b, c, h, w) in [-1, 1]. 1 is right: the truth has grain of its own. NaN where the truth has fewer than 1000
    flat pixels, or no energy in them.
    """
    if min(truth.shape[-2:]) < _FLAT_SIDE:
        return torch.full((len(truth),), math.nan, dtype=torch.float64)
    flat = _flat(truth)
    counts = flat.sum(dim=(1, 2, 3))
    own, true = ((_fine(part).square() * flat).sum(dim=(1, 2, 3)) for part in (image, truth))
    ratio = own / true
    return torch.where((counts >= _LEAST) & (true > 0), ratio, torch.nan)


def _flat(truth: Image) -> Tensor:
    """Mark the pixels whose surroundings are flat in every channel, (b, 1, h, w), 0 or 1; borders are left out."""
    unit = (truth.double() + 1) / 2
    mean = avg_pool2d(unit, _FLAT_SIDE, stride=1)
    variance = avg_pool2d(unit.square(), _FLAT_SIDE, stride=1) - mean.square()
    flat = (variance < _FLAT_DEVIATION**2).all(dim=1, keepdim=True)
    return pad(flat.double(), (_FLAT_SIDE // 2,) * 4)


def _fine(image: Image) -> Tensor:
    """Take away what a Gaussian passes that passes half of the amplitude at the wavelength."""
    deviation = _WAVELENGTH * math.sqrt(2 * math.log(2)) / (2 * math.pi)
    reach = math.ceil(4 * deviation)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    row = torch.exp(-(place**2) / (2 * deviation**2))
    row = (row / row.sum())[None, None, None]
    planes = image.double().flatten(0, 1)[:, None]
    around = pad(planes, (reach,) * 4, mode="replicate")
    blurred = conv2d(conv2d(around, row), row.mT)
    return (planes - blurred).reshape(image.shape)
