"""Distortion metrics: PSNR, SSIM, consistency, sharpness.

Images are (b, c, h, w) in [-1, 1]; one figure per image."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from sr3.images.resize import downsample
from sr3.types import Image, LowRes

__all__ = ["consistency", "mean_squared_error", "psnr", "sharpness", "ssim"]

_WINDOW, _DEVIATION = 11, 1.5


def mean_squared_error(image: Image, truth: Image) -> Tensor:
    """Mean squared difference in units of the squared [0, 1] range, shape (b,)."""
    return ((image - truth).double() / 2).square().mean(dim=(1, 2, 3))


def psnr(image: Image, truth: Image) -> Tensor:
    """Peak signal to noise ratio in dB over all channels, no border cut, shape (b,)."""
    return -10 * mean_squared_error(image, truth).log10()


def ssim(image: Image, truth: Image) -> Tensor:
    """Structural similarity, mean over pixels and channels, no border cut beyond the window's, shape (b,).

    Source: Wang et al. 2004: Gaussian window of 11 pixels and deviation 1.5, K1 = 0.01, K2 = 0.03. Sides are at least
    11 pixels.
    """
    if min(image.shape[-2:]) < _WINDOW:
        raise ValueError(f"SSIM needs sides of at least {_WINDOW} pixels, got {tuple(image.shape[-2:])}")
    first, second = ((part.double().flatten(0, 1)[:, None] + 1) / 2 for part in (image, truth))
    mean_a, mean_b = _blurred(first), _blurred(second)
    variance_a, variance_b = _blurred(first * first) - mean_a**2, _blurred(second * second) - mean_b**2
    covariance = _blurred(first * second) - mean_a * mean_b
    near, far = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_b + near) * (2 * covariance + far)
    likeness = likeness / ((mean_a**2 + mean_b**2 + near) * (variance_a + variance_b + far))
    return likeness.mean(dim=(1, 2, 3)).reshape(image.shape[:2]).mean(dim=1)


def _blurred(planes: Tensor) -> Tensor:
    place = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    kernel = torch.exp(-0.5 * (place / _DEVIATION) ** 2)
    kernel = (kernel / kernel.sum()).to(planes).reshape(1, 1, -1, 1)
    return conv2d(conv2d(planes, kernel), kernel.mT)


def consistency(image: Image, low_res: LowRes) -> Tensor:
    """Mean squared difference of the downsampled image and the input, [0, 1] range, shape (b,).

    The paper's consistency (section 4.1) without its factor 1e5; downsampling is antialiased bicubic.
    """
    return mean_squared_error(downsample(image, image.shape[-1] // low_res.shape[-1]), low_res)


def sharpness(image: Image) -> Tensor:
    """Mean absolute difference of neighbouring pixels in the [0, 1] range, shape (b,)."""
    across = image.diff(dim=-1).double().abs().mean(dim=(1, 2, 3))
    down = image.diff(dim=-2).double().abs().mean(dim=(1, 2, 3))
    return (across + down) / 4
