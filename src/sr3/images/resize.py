"""Separable resizing with antialiasing, in float, equal to Pillow's filters before its rounding.

Bicubic is Keys' kernel with a = -0.5, widened by the ratio when shrinking; `area` is the mean over each exact
cell. Works on any leading dimensions. The file knows no image format and no pixel range.
"""

from functools import lru_cache
from typing import Literal, assert_never

import torch
from torch import Tensor

__all__ = ["Filter", "downsample", "resize", "upsample"]

Filter = Literal["bicubic", "lanczos", "area"]


def resize(image: Tensor, height: int, width: int, *, method: Filter = "bicubic") -> Tensor:
    """Resize (..., h, w) to (..., height, width)."""
    if min(height, width) < 1:
        raise ValueError(f"cannot resize to {width}x{height}: sides are at least 1")
    if image.shape[-1] != width:  # whole rows are read several times as fast as columns
        image = _rows(image.mT.contiguous(), width, method).mT.contiguous()
    return image if image.shape[-2] == height else _rows(image, height, method)


def upsample(image: Tensor, scale: int) -> Tensor:
    """Enlarge (..., h, w) by bicubic interpolation: the condition x of the network."""
    return resize(image, image.shape[-2] * scale, image.shape[-1] * scale)


def downsample(image: Tensor, scale: int) -> Tensor:
    """Shrink (..., h, w) by antialiased bicubic: how the low-resolution image is made."""
    return resize(image, image.shape[-2] // scale, image.shape[-1] // scale)


def _rows(image: Tensor, size: int, method: Filter) -> Tensor:
    index, weight = _taps(image.shape[-2], size, method)
    out: Tensor | None = None
    for column, factor in zip(index.to(image.device).unbind(1), weight.to(image).unbind(1), strict=True):
        part = image.index_select(-2, column).mul_(factor[:, None])
        out = part if out is None else out.add_(part)
        del part  # a large image needs the memory
    assert out is not None
    return out


@lru_cache(maxsize=64)
def _taps(size_in: int, size_out: int, method: Filter) -> tuple[Tensor, Tensor]:
    """Return which inputs each output reads and with what weight: (size_out, taps), indices and float64."""
    ratio = size_in / size_out
    stretch = max(ratio, 1.0)
    support = _support(method) * stretch
    centre = (torch.arange(size_out, dtype=torch.float64) + 0.5) * ratio
    first = (centre - support + 0.5).floor().clamp(min=0).long()
    beyond = (centre + support + 0.5).floor().clamp(max=size_in).long()
    if method == "area":
        first, beyond = (centre - support).floor().clamp(min=0).long(), (centre + support).ceil().long()
    index = first[:, None] + torch.arange(int((beyond - first).max()))
    if method == "area":
        low, high = (centre - ratio / 2)[:, None], (centre + ratio / 2)[:, None]
        weight = (torch.minimum(index + 1.0, high) - torch.maximum(index.double(), low)).clamp(min=0)
        weight = weight if ratio > 1 else (index == centre.floor().long()[:, None]).double()
    else:
        weight = _kernel((index + 0.5 - centre[:, None]) / stretch, method)
    weight = torch.where(index < beyond[:, None], weight, 0.0)
    return index.clamp(max=size_in - 1), weight / weight.sum(1, keepdim=True)


def _support(method: Filter) -> float:
    match method:
        case "bicubic":
            return 2.0
        case "lanczos":
            return 3.0
        case "area":
            return 0.5
        case _:
            assert_never(method)


def _kernel(distance: Tensor, method: Literal["bicubic", "lanczos"]) -> Tensor:
    d = distance.abs()
    match method:
        case "bicubic":
            near = (1.5 * d - 2.5) * d**2 + 1
            far = -0.5 * (((d - 5) * d + 8) * d - 4)
            return torch.where(d < 1, near, torch.where(d < 2, far, 0.0))
        case "lanczos":
            return torch.where(d < 3, torch.sinc(d) * torch.sinc(d / 3), 0.0)
        case _:
            assert_never(method)
