"""The enlarged input, in full precision or as a picture of 8 bits.

Pillow enlarges bytes along the rows first, rounds and limits to the range, then along the columns, and rounds again.
A network that was trained on such pictures has never seen a value between two levels or beyond black and white.
"""

from typing import Literal, assert_never

import torch
from torch import Tensor

from sr3.images.resize import resize, upsample

__all__ = ["Precision", "enlarge"]

Precision = Literal["full", "8-bit"]


def enlarge(image: Tensor, scale: int, precision: Precision) -> Tensor:
    """Enlarge (..., h, w) in [-1, 1] by bicubic interpolation; `8-bit` gives what Pillow makes of 8 bits."""
    match precision:
        case "full":
            return upsample(image, scale)
        case "8-bit":
            return _in_bytes(image, scale)
        case _:
            assert_never(precision)


def _in_bytes(image: Tensor, scale: int) -> Tensor:
    # float64, on the CPU, so that halves are rounded as Pillow's integers are
    levels = _rounded((image.cpu().double() + 1) * 127.5)
    height, width = levels.shape[-2:]
    wide = _rounded(resize(levels, height, width * scale))
    whole = _rounded(resize(wide, height * scale, width * scale))
    return (whole / 127.5 - 1).to(image)


def _rounded(levels: Tensor) -> Tensor:
    return torch.floor(levels + 0.5).clamp(0, 255)
