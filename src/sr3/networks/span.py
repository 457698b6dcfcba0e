"""SPAN: a fast network at low resolution with parameter-free attention (arXiv:2311.12770).

Its inference form: the branches of each layer that the paper trains are merged into one 3x3 convolution. Beside its
image it gives the features from which the image is made, for a network that refines it.
It knows no condition but the low-resolution image, and no noise.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, silu

from sr3.config import SPANConfig
from sr3.networks.one_call import OneCallNetwork, conv
from sr3.types import Condition, Gamma, Image, LowRes

__all__ = ["SPAN", "Mean"]

_PIXEL_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K in [0, 1], which the published weights subtract; of other bands its average."""
_PIXEL_RANGE = 255.0


class Mean(NamedTuple):
    """An image (b, c, s h, s w), clamped to [-1, 1], and the features it is made from, (b, width, h, w)."""

    picture: Image
    features: Tensor


class SPAB(nn.Module):
    """A swift parameter-free attention block (section 3.1, Eq. 3 to 6)."""

    def __init__(self, width: int) -> None:
        """Lay out three convolutions of one width."""
        super().__init__()
        self.convs = nn.ModuleList(conv(width, width) for _ in range(3))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output, and the features after its first layer."""
        first = silu(self.convs[0](image))
        last = self.convs[2](silu(self.convs[1](first)))
        return (last + image) * (torch.sigmoid(last) - 0.5), first


class SPAN(OneCallNetwork):
    """A head, `blocks` attention blocks of `width` channels, a join of four of their features, and pixel shuffling.

    Joined are the head's features, those after the last block, those after the first, and the first layer of the last.
    """

    def __init__(self, config: SPANConfig, *, image_channels: int, scale: int) -> None:
        """Lay out the convolutions."""
        super().__init__(config.width, image_channels=image_channels, scale=scale)
        self.head = conv(image_channels, config.width)
        self.blocks = nn.ModuleList(SPAB(config.width) for _ in range(config.blocks))
        self.after = conv(config.width, config.width)
        self.join = conv(4 * config.width, config.width, 1)
        self.tail = conv(config.width, image_channels * scale**2)

    @property
    def reach(self) -> int:
        """Radius of the receptive field in input pixels: one for each consecutive 3x3 layer."""
        return 3 * len(self.blocks) + 3

    def forward(self, x: Condition, y_t: Image, gamma: Gamma, low_res: LowRes) -> Image:
        """Enlarge low_res (b, c, h, w) in [-1, 1]; x, y_t and gamma are ignored."""
        del x, y_t, gamma
        return self.answer(low_res)

    def answer(self, low_res: LowRes) -> Image:
        """Compute the output for low_res; neither is clamped to [-1, 1]."""
        return self._picture(self.features(low_res))

    def mean(self, low_res: LowRes) -> Mean:
        """Enlarge low_res; return the image and the features it is made from."""
        features = self.features(low_res)
        return Mean(self._picture(features).clamp(-1, 1), features)

    def features(self, low_res: LowRes) -> Tensor:
        """Compute the features that are shuffled into the image, (b, width, h, w)."""
        unit = (low_res + 1) / 2
        start = hidden = self.head((unit - _pixel_mean(unit)) * _PIXEL_RANGE)
        after_first = first_layer = start
        for number, block in enumerate(self.blocks):
            hidden, first_layer = block(hidden)
            after_first = hidden if number == 0 else after_first
        return self.join(torch.cat([start, self.after(hidden), after_first, first_layer], dim=1))

    def _picture(self, features: Tensor) -> Image:
        return pixel_shuffle(self.tail(features), self.scale) * 2 - 1


def _pixel_mean(like: Tensor) -> Tensor:
    channels = like.shape[1]
    values = _PIXEL_MEAN if channels == len(_PIXEL_MEAN) else (sum(_PIXEL_MEAN) / len(_PIXEL_MEAN),) * channels
    return like.new_tensor(values)[:, None, None]
