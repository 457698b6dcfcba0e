"""FSRCNN: a narrow chain of convolutions at low resolution, with a deconvolution as the last layer.

Source: arXiv:1608.00367, section 3.2. Beyond the paper, which takes luminance: any channels.
It knows no condition but the low-resolution image, and no noise.
"""

from torch import nn

from sr3.config import FSRCNNConfig
from sr3.networks.one_call import OneCallNetwork, he_conv
from sr3.types import Condition, Gamma, Image, LowRes

__all__ = ["FSRCNN"]

_LAST_DEVIATION, _SLOPE = 0.001, 0.25


class FSRCNN(OneCallNetwork):
    """FSRCNN(d, s, m): d = width, s = inner, m = layers, each layer but the last followed by a PReLU.

    5x5 to d, 1x1 to s, m times 3x3 at s, 1x1 to d, and a transposed convolution of 9x9 whose stride is the scale.
    """

    def __init__(self, config: FSRCNNConfig, *, image_channels: int, scale: int) -> None:
        """Lay out the five parts, initialised as in the paper: He's way, the last with a deviation of 0.001."""
        super().__init__(config.width, image_channels=image_channels, scale=scale)
        sizes = [(image_channels, config.width, 5), (config.width, config.inner, 1)]
        sizes += [(config.inner, config.inner, 3)] * config.layers + [(config.inner, config.width, 1)]
        layers: list[nn.Module] = []
        for width_in, width_out, side in sizes:
            layers += [he_conv(width_in, width_out, side, slope=_SLOPE), nn.PReLU(width_out, init=_SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.tail = nn.ConvTranspose2d(
            config.width, image_channels, 9, stride=scale, padding=4, output_padding=scale - 1
        )
        nn.init.normal_(self.tail.weight, std=_LAST_DEVIATION)
        nn.init.zeros_(self.tail.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Condition, y_t: Image, gamma: Gamma, low_res: LowRes) -> Image:
        """Enlarge low_res; x, y_t and gamma are ignored."""
        del x, y_t, gamma
        return self.tail(self.layers(low_res))
