"""The discriminator of Projected GAN (arXiv:2111.01007): small heads on the features of frozen networks.

Each map is normalised to unit length at every place and mixed across its channels by a fixed random projection (section
3.1), then judged place by place by convolutions with spectral normalisation (arXiv:1802.05957). It knows no image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, normalize
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Heads"]

_WIDTH, _SLOPE = 64, 0.2


class Head(nn.Module):
    """Three convolutions on the projection of one map."""

    projection: Tensor

    def __init__(self, channels: int) -> None:
        """Draw the projection of a map of so many channels, and the layers."""
        super().__init__()
        self.register_buffer("projection", torch.randn(_WIDTH, channels, 1, 1) / channels**0.5)
        self.first = spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1))
        self.last = spectral_norm(nn.Conv2d(_WIDTH, 1, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Judge features (b, c, h, w) at every place: shape (b, h, w), positive for photographs."""
        unit = normalize(features, dim=1) * features.shape[1] ** 0.5
        hidden = leaky_relu(self.first(conv2d(unit, self.projection)), _SLOPE)
        return self.last(leaky_relu(self.second(hidden), _SLOPE))[:, 0]


class Heads(nn.Module):
    """One discriminator head for each feature map of the frozen networks."""

    def __init__(self, channels: Sequence[int]) -> None:
        """Make heads for maps of these channels."""
        super().__init__()
        self.heads = nn.ModuleList(Head(count) for count in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return logits (b, h, w) for each map (b, c, h, w)."""
        return [head(one) for head, one in zip(self.heads, maps, strict=True)]
