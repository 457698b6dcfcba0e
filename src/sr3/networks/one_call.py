"""The base of regression networks, which answer in one call: `fsrcnn`, `drcn`, `rcan`, `enet`, `span`.

They see the input, and neither noise nor level.
"""

from dataclasses import dataclass

from torch import nn

__all__ = ["OneCallShape", "conv", "he_conv", "prime_factors"]


@dataclass(frozen=True, kw_only=True)
class OneCallShape:
    """Sizes of a network that answers in one call; what blocks, groups and inner are, each network says.

    image_channels: channels of the picture, any number. scale: magnification. width: channels of most layers.
    """

    image_channels: int
    scale: int
    width: int
    blocks: int
    groups: int = 1
    inner: int = 1

    @property
    def size_multiple(self) -> int:
        """What sides of the output are multiples of: a whole number of input pixels."""
        return self.scale

    @property
    def features_a_pixel(self) -> float:
        """About how many features a pixel of the output are alive at once."""
        return 4.0 * self.width


def conv(width_in: int, width_out: int, side: int = 3) -> nn.Conv2d:
    """Make a convolution that keeps the sides of a picture."""
    return nn.Conv2d(width_in, width_out, side, padding=side // 2)


def he_conv(width_in: int, width_out: int, side: int = 3, *, slope: float = 0.0) -> nn.Conv2d:
    """Make one that starts in He's way (arXiv:1502.01852) for a rectifier of a slope, without offsets."""
    layer = conv(width_in, width_out, side)
    nn.init.kaiming_normal_(layer.weight, a=slope)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def prime_factors(number: int) -> list[int]:
    """Split a number into primes, rising: a scale into steps of enlargement."""
    factors, divisor = list[int](), 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors
