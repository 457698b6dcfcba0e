"""The generator of EnhanceNet: residual blocks at low resolution, nearest-neighbour upsampling and convolution.

Source: arXiv:1612.07919, table 1. The output is a residual to the bicubic enlargement, which the denoiser
adds (`denoiser.target`). Its losses: `sr3.objectives.adversary`.
"""

from torch import Tensor, nn
from torch.nn import functional

from sr3.config import ENetConfig
from sr3.networks.one_call import OneCallNetwork, conv, prime_factors
from sr3.types import Condition, Gamma, Image, LowRes

__all__ = ["ENet"]


class ENet(OneCallNetwork):
    """3x3 convolutions with `width` channels; `blocks` residual blocks, 10 in the paper."""

    def __init__(self, config: ENetConfig, *, image_channels: int, scale: int) -> None:
        """Lay out the layers; the last starts at 0, so that a new network gives the bicubic enlargement."""
        super().__init__(config.width, image_channels=image_channels, scale=scale)
        width = config.width
        self.head = conv(image_channels, width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(config.blocks)])
        self.factors = prime_factors(scale)
        self.enlarge = nn.ModuleList([conv(width, width) for _ in self.factors])
        self.last, self.tail = conv(width, width), conv(width, image_channels)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Condition, y_t: Image, gamma: Gamma, low_res: LowRes) -> Image:
        """Enlarge low_res by the scale; x, y_t and gamma are ignored."""
        del x, y_t, gamma
        hidden: Tensor = functional.relu(self.head(low_res))
        for block in self.blocks:
            hidden = block(hidden)
        for factor, layer in zip(self.factors, self.enlarge, strict=True):
            hidden = functional.relu(layer(functional.interpolate(hidden, scale_factor=float(factor), mode="nearest")))
        return self.tail(functional.relu(self.last(hidden)))


class _Block(nn.Module):
    """Two convolutions beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Refine."""
        return features + self.second(functional.relu(self.first(features)))
