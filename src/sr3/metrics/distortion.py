"""Distance to the truth, pixel by pixel. Pictures in [-1, 1], shape (b, c, h, w); one figure an image."""

from torch import Tensor

from sr3.images.resize import downsample
from sr3.types import Image, LowRes

__all__ = ["consistency", "mean_squared_error", "psnr", "sharpness"]


def mean_squared_error(image: Image, truth: Image) -> Tensor:
    """Mean squared difference in units of the squared [0, 1] range, shape (b,)."""
    return ((image - truth).double() / 2).square().mean(dim=(1, 2, 3))


def psnr(image: Image, truth: Image) -> Tensor:
    """Peak signal to noise ratio in dB over all channels, no border cut, shape (b,)."""
    return -10 * mean_squared_error(image, truth).log10()


def consistency(image: Image, low_res: LowRes) -> Tensor:
    """Mean squared difference of the downsampled picture and the input, [0, 1] range, shape (b,).

    The paper's consistency (section 4.1) without its factor 1e5; downsampling is antialiased bicubic.
    """
    return mean_squared_error(downsample(image, image.shape[-1] // low_res.shape[-1]), low_res)


def sharpness(image: Image) -> Tensor:
    """Mean absolute difference of neighbouring pixels in the [0, 1] range, shape (b,)."""
    across = image.diff(dim=-1).double().abs().mean(dim=(1, 2, 3))
    down = image.diff(dim=-2).double().abs().mean(dim=(1, 2, 3))
    return (across + down) / 4
