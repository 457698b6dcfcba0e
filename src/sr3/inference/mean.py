"""The mean of a picture by the small network of a model, in windows that have all the surroundings they depend on."""

import torch

from sr3.inference.tiling import Window
from sr3.networks.span import REACH, SPAN, Mean
from sr3.types import Image, LowRes

__all__ = ["mean_in", "picture_of"]

_SIDE = 256
"""Side in pixels of the input of what is computed at once."""


@torch.no_grad()
def mean_in(network: SPAN, low_res: LowRes, window: Window) -> Mean:
    """Compute the mean in a window, in pixels of low_res (b, c, h, w), as if it were taken whole."""
    up, back = min(window.top, REACH), min(window.left, REACH)
    around = Window(window.top - up, window.left - back, window.height + up + REACH, window.width + back + REACH)
    found, scale = network.mean(around.of(low_res)), network.scale
    inside = Window(up, back, window.height, window.width)
    return Mean(Window(*(place * scale for place in inside)).of(found.picture), inside.of(found.features))


def picture_of(network: SPAN, low_res: LowRes) -> Image:
    """Enlarge low_res (b, c, h, w) in [-1, 1], keeping no features."""
    b, c, height, width = low_res.shape
    scale = network.scale
    whole = low_res.new_empty(b, c, height * scale, width * scale)
    for top in range(0, height, _SIDE):
        for left in range(0, width, _SIDE):
            window = Window(top, left, min(_SIDE, height - top), min(_SIDE, width - left))
            Window(*(place * scale for place in window)).of(whole).copy_(mean_in(network, low_res, window).picture)
    return whole
