"""Colours under full transparency, replaced so that no hidden colour reaches the visible edges.

Push and pull over a pyramid of halved images, as in Gortler et al., "The Lumigraph", SIGGRAPH 1996,
section 3.4. Knows no files.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["fill_transparent"]

_LEAST_WEIGHT = 1 / 255


def fill_transparent(pixels: Tensor, alpha: Tensor) -> Tensor:
    """Replace the colour where alpha is 0 by a smooth continuation of the visible colours.

    `pixels` is (c, h, w), `alpha` (1, h, w) in [0, 1]. Visible pixels come back bit-equal, filled ones
    lie between the least and the greatest visible value of their channel. Where nothing is visible all
    becomes 0, mid grey.
    """
    is_visible = alpha > 0
    # What is nearly transparent has a coarsely rounded colour, so it counts for little.
    weight = torch.where(is_visible, alpha.clamp(min=_LEAST_WEIGHT), 0).to(pixels.dtype)
    colour = torch.where(is_visible, pixels, 0)
    pyramid = [(colour, weight)]
    while max(weight.shape[-2:]) > 1:
        colour, weight = _halve(colour, weight)
        pyramid.append((colour, weight))
    filled = colour
    for _, (colour, weight) in pairwise(reversed(pyramid)):
        coarse = functional.interpolate(filled[None], size=colour.shape[-2:], mode="bilinear")[0]
        filled = torch.where(weight > 0, colour, coarse)
    return filled


def _halve(colour: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Average 2 x 2 pixels by their weight; the colour is 0 where all four weigh nothing."""
    halved = functional.avg_pool2d(weight, 2, ceil_mode=True)
    mixed = functional.avg_pool2d(colour * weight, 2, ceil_mode=True)
    return torch.where(halved > 0, mixed / halved, 0), halved
