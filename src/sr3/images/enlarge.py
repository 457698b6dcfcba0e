"""The upsampled input x: in full precision, or rounded to 8 bits as Pillow makes it.

Pillow rounds to bytes, and limits them to the range, after each direction. A network that was trained on images
made so has never seen a value between two levels, or beyond black and white.
"""

from typing import Literal, assert_never

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sr3.images.resize import upsample

__all__ = ["Precision", "enlarge"]

Precision = Literal["full", "8-bit"]


def enlarge(image: Tensor, scale: int, precision: Precision) -> Tensor:
    """Enlarge (..., h, w) in [-1, 1] by bicubic interpolation; `8-bit` rounds the input to bytes, and the result."""
    match precision:
        case "full":
            return upsample(image, scale)
        case "8-bit":
            return _by_pillow(image, scale)
        case _:
            assert_never(precision)


def _by_pillow(image: Tensor, scale: int) -> Tensor:
    height, width = image.shape[-2:]
    levels = ((image.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    size = (width * scale, height * scale)
    planes = [
        np.array(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        for plane in levels.reshape(-1, height, width).numpy()
    ]
    large = torch.from_numpy(np.stack(planes)).reshape(*image.shape[:-2], *reversed(size))
    return (large.float() / 127.5 - 1).to(image)
