"""Fine structure where the truth is flat, such as a wall or the sky: ripples and grain."""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from sr3.images.local import local_mean
from sr3.types import Image

__all__ = ["grain", "ripples"]

_WAVELENGTH = 8.0
"""Pixels; the Gaussian of ripples passes half of the amplitude at this wavelength, and the rest is measured."""
_FLAT_DEVIATION = 2 / 255
"""Deviation of the truth in [0, 1], in each channel, below which its surroundings are flat."""
_RIPPLES_SIDE, _GRAIN_SIDE = 17, 9
"""Side of those surroundings, in pixels."""
_LEAST = 1000
"""Flat pixels without which an image has no figure."""


def ripples(image: Image, truth: Image) -> Tensor:
    """Energy of structures of 2 to 8 pixels in flat areas of the truth, divided by that of the truth, shape (b,).

    Both (b, c, h, w) in [-1, 1]. 1 is right: the truth has grain of its own. NaN where the truth has fewer than 1000
    flat pixels, or no energy in them.
    """
    flat = _flat(truth, _RIPPLES_SIDE)
    counts = flat.sum(dim=(1, 2, 3))
    own, true = ((_fine(part).square() * flat).sum(dim=(1, 2, 3)) for part in (image, truth))
    ratio = own / true
    return torch.where((counts >= _LEAST) & (true > 0), ratio, torch.nan)


def grain(image: Image, truth: Image) -> Tensor:
    """Standard deviation of the finest structure where the truth is flat, in units of 1/255, shape (b,).

    Both (b, c, h, w) in [-1, 1]. The finest structure is a pixel less the mean of the 3x3 pixels around it; the
    deviation is over the flat pixels of all channels. `grain(truth, truth)` is the reference. NaN where the truth has
    fewer than 1000 flat pixels.
    """
    flat = _flat(truth, _GRAIN_SIDE)
    counts = flat.sum(dim=(1, 2, 3)) * image.shape[1]
    finest = image.double() - avg_pool2d(image.double(), 3, stride=1, padding=1)
    mean = (finest * flat).sum(dim=(1, 2, 3)) / counts
    centred = (finest - mean[:, None, None, None]) * flat
    deviation = (centred.square().sum(dim=(1, 2, 3)) / counts).sqrt()
    return torch.where(flat.sum(dim=(1, 2, 3)) >= _LEAST, deviation * 127.5, torch.nan)


def _flat(truth: Image, side: int) -> Tensor:
    """Mark the pixels whose surroundings of a side are flat in every channel, (b, 1, h, w), 0 or 1; not the borders."""
    if min(truth.shape[-2:]) < side:
        return truth.new_zeros((len(truth), 1, *truth.shape[-2:]), dtype=torch.float64)
    unit = (truth.double() + 1) / 2
    variance = local_mean(unit.square(), side) - local_mean(unit, side).square()
    flat, reach = (variance < _FLAT_DEVIATION**2).all(dim=1, keepdim=True), side // 2
    return pad(flat[..., reach:-reach, reach:-reach].double(), (reach,) * 4)


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
