"""What the networks that answer in one call have in common: `fsrcnn`, `drcn`, `rcan`, `enet` and `span`.

They see the input, and neither noise nor level.
"""

from torch import nn

__all__ = ["OneCallNetwork", "conv", "he_conv", "prime_factors"]


class OneCallNetwork(nn.Module):
    """Interface of networks that predict in one call.

    image_channels: channels of the image, any number. scale: magnification.
    size_multiple: number that divides the sides of the output, so that they are a whole number of input pixels.
    features_per_pixel: approximate number of features held in memory at once, per pixel of the output.
    """

    def __init__(self, width: int, *, image_channels: int, scale: int) -> None:
        """Keep the sizes; width: channels of most layers."""
        super().__init__()
        self.image_channels, self.scale = image_channels, scale
        self.size_multiple = scale
        self.features_per_pixel = 4.0 * width


def conv(width_in: int, width_out: int, side: int = 3) -> nn.Conv2d:
    """Create a convolution that keeps the sides of an image."""
    return nn.Conv2d(width_in, width_out, side, padding=side // 2)


def he_conv(width_in: int, width_out: int, side: int = 3, *, slope: float = 0.0) -> nn.Conv2d:
    """Create one with Kaiming initialisation (arXiv:1502.01852) for a leaky ReLU of this slope, and zero biases."""
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
