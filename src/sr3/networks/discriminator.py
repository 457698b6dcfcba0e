"""The discriminator of EnhanceNet (arXiv:1612.07919, section 4.2.4 and its supplement).

It sees images of one size and knows nothing of how they were made.
"""

from torch import Tensor, nn

from sr3.networks.one_call import conv
from sr3.types import Image

__all__ = ["DiscriminatorNet"]

_SLOPE = 0.2
_HIDDEN = 32
"""Width of the hidden layer, as a multiple of the first: 1024 in the paper."""


class DiscriminatorNet(nn.Module):
    """Pairs of 3x3 convolutions, the second of stride 2, each pair twice as wide as the last; then two dense layers."""

    def __init__(self, image_channels: int, *, side: int, width: int, downsamplings: int) -> None:
        """See images of side pixels, a multiple of 2^downsamplings; the paper has 128, width 32 and 5 downsamplings."""
        super().__init__()
        layers, width_in = list[nn.Module](), image_channels
        for level in range(downsamplings):
            width_out = width * 2**level
            halving = nn.Conv2d(width_out, width_out, 3, stride=2, padding=1)
            layers += [conv(width_in, width_out), nn.LeakyReLU(_SLOPE), halving, nn.LeakyReLU(_SLOPE)]
            width_in = width_out
        self.layers = nn.Sequential(*layers)
        hidden = _HIDDEN * width
        cells = (side // 2**downsamplings) ** 2
        self.head = nn.Sequential(nn.Linear(width_in * cells, hidden), nn.LeakyReLU(_SLOPE), nn.Linear(hidden, 1))

    def forward(self, image: Image) -> Tensor:
        """Return the logit of each image being a photograph, shape (b,)."""
        return self.head(self.layers(image).flatten(1))[:, 0]
