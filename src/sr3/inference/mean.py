"""The mean of a picture by the small network of a model, in windows that have all the surroundings they depend on."""

import torch

from sr3.networks.span import REACH, SPAN, Mean
from sr3.types import LowRes

__all__ = ["mean_of"]

_SIDE = 256
"""Side in pixels of the input of what is computed at once."""


@torch.no_grad()
def mean_of(network: SPAN, low_res: LowRes) -> Mean:
    """Enlarge low_res (b, c, h, w) in [-1, 1] and give its features, too, as if it were taken whole."""
    b, c, height, width = low_res.shape
    if max(height, width) <= _SIDE:
        return network.mean(low_res)
    scale, features_width = network.shape.scale, network.shape.width
    whole = Mean(
        low_res.new_empty(b, c, height * scale, width * scale), low_res.new_empty(b, features_width, height, width)
    )
    for top in range(0, height, _SIDE):
        for left in range(0, width, _SIDE):
            up, back = min(top, REACH), min(left, REACH)
            part = low_res[..., top - up : top + _SIDE + REACH, left - back : left + _SIDE + REACH]
            found = network.mean(part)
            high, wide = min(_SIDE, height - top), min(_SIDE, width - left)
            for image, source, factor in ((whole.picture, found.picture, scale), (whole.features, found.features, 1)):
                image[..., top * factor : (top + high) * factor, left * factor : (left + wide) * factor] = source[
                    ..., up * factor : (up + high) * factor, back * factor : (back + wide) * factor
                ]
    return whole
