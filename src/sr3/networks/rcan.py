"""RCAN: residual groups with channel attention at low resolution.

Source: arXiv:1807.02758, section 3: residual in residual, channel attention, enlargement by sub-pixel convolution
(arXiv:1609.05158). The mean is over the image, so windows must share it.
"""

from torch import Tensor, nn
from torch.nn import functional

from sr3.config import RCANConfig
from sr3.networks.one_call import OneCallNetwork, conv, prime_factors
from sr3.types import Condition, Gamma, Image, LowRes

__all__ = ["RCAN"]


class RCAN(OneCallNetwork):
    """`groups` residual groups of `blocks` residual blocks; `attention_width` channels inside the attention."""

    def __init__(self, config: RCANConfig, *, image_channels: int, scale: int) -> None:
        """Lay out head, body with its long skip, enlargement and tail."""
        super().__init__(config.width, image_channels=image_channels, scale=scale)
        width = config.width
        self.head = conv(image_channels, width)
        self.body = nn.Sequential(*(_Group(width, config.blocks, config.attention_width) for _ in range(config.groups)))
        self.body_end = conv(width, width)
        steps: list[nn.Module] = []
        for factor in prime_factors(scale):
            steps += [conv(width, width * factor**2), nn.PixelShuffle(factor)]
        self.enlarge = nn.Sequential(*steps)
        self.tail = conv(width, image_channels)

    def forward(self, x: Condition, y_t: Image, gamma: Gamma, low_res: LowRes) -> Image:
        """Enlarge low_res; x, y_t and gamma are ignored."""
        del x, y_t, gamma
        shallow = self.head(low_res)
        deep = shallow + self.body_end(self.body(shallow))
        return self.tail(self.enlarge(deep))


class _Group(nn.Module):
    """Blocks and a convolution beside a skip."""

    def __init__(self, width: int, blocks: int, inner: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Block(width, inner) for _ in range(blocks)))
        self.end = conv(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Refine."""
        return features + self.end(self.blocks(features))


class _Block(nn.Module):
    """Two convolutions, whose channels are weighed, beside a skip."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.squeeze, self.spread = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine; each channel counts as much as the means of all say."""
        hidden = self.second(functional.relu(self.first(features)))
        weights = self.spread(functional.relu(self.squeeze(self.mean(hidden)))).sigmoid()
        return features + hidden * weights
