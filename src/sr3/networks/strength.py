"""A small network that tells how strongly an image needs cleaning, from the image and what a restoration changes in it.

Damage such as JPEG's leaves traces all over an image, but a restoration network sees only a few pixels around each one
and cannot know whether grass is grass or noise. This one averages over the whole image.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from sr3.types import LowRes

__all__ = ["StrengthNetwork"]

_FINE, _CHANGE = 8.0, 16.0
"""Factors on the fine structure and on the change, so that both are of the order of 1."""
_FLOOR = 1e-3
"""Mean feature that counts as none."""


class StrengthNetwork(nn.Module):
    """Three convolutions, the logarithm of the mean over all positions, and two linear layers.

    learning: with batch normalisation, which `folded` removes.
    """

    def __init__(self, width: int, *, image_channels: int, learning: bool = False) -> None:
        """Lay out the layers, `width` channels at a quarter of the size."""
        super().__init__()
        self.width, self.image_channels = width, image_channels
        sides = (2 * image_channels, width // 2, width, width)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=stride, padding=1)
            for before, after, stride in zip(sides, sides[1:], (1, 2, 2), strict=False)
        )
        self.hidden, self.last = nn.Linear(width, width), nn.Linear(width, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(side) if learning else nn.Identity() for side in sides[1:])
        self.norm = nn.BatchNorm1d(width) if learning else nn.Identity()

    def forward(self, image: LowRes, change: LowRes) -> Tensor:
        """Estimate the strength (b,), perhaps below 0, for images (b, c, h, w) in [-1, 1] and their changes."""
        return self.strength(self.traces(image, change))

    def traces(self, image: LowRes, change: LowRes) -> Tensor:
        """Return the mean features (b, width) of a part of the images; those of a whole are the mean of its parts'."""
        fine = image - avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
        hidden = torch.cat([fine * _FINE, change * _CHANGE], dim=1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = relu(norm(conv(hidden)))
        return hidden.mean((2, 3))

    def strength(self, traces: Tensor) -> Tensor:
        """Estimate the strength (b,) from mean features (b, width)."""
        return self.last(relu(self.norm(self.hidden((traces + _FLOOR).log())))).squeeze(1)

    def folded(self) -> "StrengthNetwork":
        """Return the trained network without its normalisation, which becomes part of the layers before it."""
        self.eval()
        convs = cast(list[nn.Conv2d], list(self.convs))
        norms, norm = cast(list[nn.BatchNorm2d], list(self.norms)), cast(nn.BatchNorm1d, self.norm)
        plain = StrengthNetwork(self.width, image_channels=self.image_channels).eval()
        plain.convs = nn.ModuleList(fuse_conv_bn_eval(*layers) for layers in zip(convs, norms, strict=True))
        plain.hidden, plain.last = fuse_linear_bn_eval(self.hidden, norm), self.last
        return plain
