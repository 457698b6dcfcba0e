"""Luminance (Y of BT.601 in studio range), border cropping as is usual in super-resolution, and colour shift."""

from torch import Tensor

from sr3.images.resize import resize
from sr3.types import Image, LowRes

__all__ = ["colour_shift", "luminance", "without_border"]

_WEIGHTS = (65.481, 128.553, 24.966)
_BLACK = 16.0


def luminance(image: Image) -> Tensor:
    """Compute the luminance Y of RGB in [-1, 1]: shape (b, 1, h, w), mapped to [-1, 1] as if Y ranged from 0 to 255.

    Source: ITU-R BT.601, Y = 16 + 65.481 R + 128.553 G + 24.966 B for R, G, B in [0, 1], so Y ranges from 16 to 235.
    The peak of a PSNR of Y is 255, as is usual. ValueError for other than 3 channels.
    """
    if image.shape[1] != 3:
        raise ValueError(f"luminance needs 3 channels (RGB), got {image.shape[1]}")
    red, green, blue = ((part + 1) / 2 for part in image.double().split(1, dim=1))
    levels = _BLACK + _WEIGHTS[0] * red + _WEIGHTS[1] * green + _WEIGHTS[2] * blue
    return levels / 127.5 - 1


def without_border(image: Tensor, border: int) -> Tensor:
    """Crop this many pixels at each edge of (..., h, w); ValueError when nothing remains."""
    height, width = image.shape[-2:]
    if min(height, width) <= 2 * border:
        raise ValueError(f"{width}x{height} has nothing left after cropping {border} pixels at each edge")
    return image[..., border : height - border, border : width - border]


def colour_shift(image: Image, low_res: LowRes) -> Tensor:
    """Measure how far the mean colour of a result is from that of its input, in units of 1/255, shape (b,).

    image: (b, c, h, w), low_res: (b, c, h / s, w / s), in [-1, 1]. The largest absolute difference, over channels, of
    the means of the result and of the bicubic enlargement of the input.
    """
    enlarged = resize(low_res, image.shape[-2], image.shape[-1])
    difference = image.double().mean(dim=(-2, -1)) - enlarged.double().mean(dim=(-2, -1))
    return difference.abs().amax(dim=1) * 127.5
