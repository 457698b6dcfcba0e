"""Images in memory: Pillow images, NumPy arrays and torch tensors to pixels in [-1, 1] and back.

| kind | layout | range |
|---|---|---|
| Pillow | grey, RGB, palette, CMYK, with or without transparency, 16-bit grey | its own |
| NumPy | (h, w) or (h, w, c) | uint8, uint16, floats 0 to 1 |
| torch | (c, h, w) or (b, c, h, w) | floats -1 to 1 |

Of two or four channels of an array or tensor the last is alpha where the caller says so. Knows no file and no model.
"""

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from sr3.errors import ImageError
from sr3.images.inks import to_light
from sr3.images.metadata import Metadata, read_metadata
from sr3.images.picture import EIGHT_BITS, Numbers, Picture, to_levels, to_pillow, to_pixels

__all__ = ["Kind", "Unpacked", "unpack"]

Kind = TypeVar("Kind", Image.Image, NDArray[Any], Tensor)
Ratio = tuple[float, float]

_PHOTOMETRIC_TAG = 262  # of TIFF
_LOADING = threading.Lock()  # Pillow decodes a file on first use, which two threads must not do at once


@dataclass(frozen=True)
class Unpacked(Generic[Kind]):
    """Pixels of one image or of a batch, and the way back.

    pixels: (b, c, h, w) float32 in [-1, 1]; alpha: (b, 1, h, w) in [0, 1], or None where there is none.
    numbers: the values of black and white in the type of the image.
    pack: makes the same kind of image of other pixels (b, c, h', w') in [-1, 1], their alpha, and how much wider and
    higher they are.
    """

    pixels: Tensor
    alpha: Tensor | None
    pack: Callable[[Tensor, Tensor | None, Ratio], Kind]
    numbers: Numbers = EIGHT_BITS


def unpack(image: Kind, *, takes_alpha: bool = False) -> Unpacked[Kind]:
    """Lay an image out as pixels; ImageError for a type, shape or range that is none of those above.

    takes_alpha: whether the last of two or four channels of an array or tensor is alpha, not a band.
    """
    if isinstance(image, Image.Image):
        return cast(Unpacked[Kind], _from_pillow(image))
    if isinstance(image, np.ndarray):
        return cast(Unpacked[Kind], _from_array(image, takes_alpha))
    if isinstance(image, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] (callers without types)
        return cast(Unpacked[Kind], _from_tensor(image, takes_alpha))
    more = ", or a path to upscale_file" if isinstance(image, str | os.PathLike) else ""
    kinds = "a Pillow image, a NumPy array or a torch tensor"
    raise ImageError(f"a {type(image).__name__} is not an image; give {kinds}{more}")


def _from_pillow(image: Image.Image) -> Unpacked[Image.Image]:
    with _LOADING:
        upright, metadata = _upright(image)
    if 0 in upright.size:
        raise ImageError(f"a Pillow image of {upright.width}x{upright.height} has no pixels; give a larger one")
    if upright.mode.startswith("I;16"):
        values = torch.from_numpy(np.asarray(upright).astype(np.int32))[None, None]
        values = 65535 - values if _has_white_at_0(image) else values
        return Unpacked(values.float() / 32767.5 - 1, None, _to_grey16(metadata), Numbers.of_depth(16))
    if upright.mode in ("I", "F"):
        raise ImageError(f"a Pillow image of mode {upright.mode} has no known range; convert it to L, RGB or I;16")
    if upright.mode == "CMYK":
        inks = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
        light = to_light(Picture(inks / -127.5 + 1, metadata=metadata, space="cmyk"))
        return Unpacked(light.pixels[None], None, _to_pillow(light.metadata))
    mode = "L" if upright.mode in ("1", "L", "LA", "La") else "RGB"
    alpha = None
    if upright.has_transparency_data:
        upright = upright.convert("LA" if mode == "L" else "RGBA")
        alpha = torch.from_numpy(np.array(upright.getchannel("A"))[None, None]).float() / 255
    return Unpacked(to_pixels(upright.convert(mode))[None], alpha, _to_pillow(metadata))


def _has_white_at_0(image: Image.Image) -> bool:
    """Return whether 0 is white in a TIFF of 16-bit grey, which Pillow leaves as it is."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC_TAG, 1) == 0


def _upright(image: Image.Image) -> tuple[Image.Image, Metadata]:
    """Turn a copy as EXIF says; its metadata without that tag."""
    try:
        image.load()
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception.
        raise ImageError(f"a Pillow image cannot be loaded ({error}); open an undamaged file") from error
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception as error:
        # So does its EXIF parser.
        warnings.warn(f"EXIF is damaged, so the image is not rotated ({error})", stacklevel=5)
        upright = image.copy()
        upright.info.pop("exif", None)
    return upright, read_metadata(upright)


def _to_pillow(metadata: Metadata) -> Callable[[Tensor, Tensor | None, Ratio], Image.Image]:
    def pack(pixels: Tensor, alpha: Tensor | None, ratio: Ratio) -> Image.Image:
        image = to_pillow(pixels[0])
        if alpha is not None:
            image.putalpha(to_pillow(alpha[0] * 2 - 1))
        return _described(image, metadata.scaled(*ratio))

    return pack


def _to_grey16(metadata: Metadata) -> Callable[[Tensor, Tensor | None, Ratio], Image.Image]:
    def pack(pixels: Tensor, alpha: Tensor | None, ratio: Ratio) -> Image.Image:
        del alpha
        image = Image.fromarray(to_levels(pixels[0], 65535)[..., 0])
        return _described(image, metadata.scaled(*ratio))

    return pack


def _described(image: Image.Image, metadata: Metadata) -> Image.Image:
    """Put metadata where Pillow's `save` looks for them, or users do."""
    named = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp, "dpi": metadata.dpi}
    image.info.update({name: value for name, value in named.items() if value is not None})
    return image


def _from_array(array: NDArray[Any], takes_alpha: bool) -> Unpacked[NDArray[Any]]:
    if array.ndim not in (2, 3) or array.size == 0:
        raise ImageError(f"an array of shape {array.shape} is not an image; give (h, w) or (h, w, channels)")
    if array.dtype.kind == "f":
        top = 1.0
        _check_range(float(array.min()), float(array.max()), 0.0)
    elif array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        top = float(np.iinfo(array.dtype).max)
    else:
        raise ImageError(f"an array of {array.dtype} has no known range; give uint8, uint16, or floats from 0 to 1")
    is_grey, kind = array.ndim == 2, array.dtype
    values = torch.from_numpy(np.ascontiguousarray(array[..., None] if is_grey else array, dtype=np.float64))
    values = values.permute(2, 0, 1)[None].contiguous()
    # Levels by the roundings of a file's, so that an array gives the very image that the file gives.
    pixels = (values * 2 - 1).float() if kind.kind == "f" else values.float().div_(top / 2).sub_(1)

    def pack(pixels: Tensor, alpha: Tensor | None, ratio: Ratio) -> NDArray[Any]:
        del ratio
        joined = _joined(pixels, alpha)[0]
        if kind.kind == "f":
            large = (joined.detach().cpu().double().permute(1, 2, 0).numpy() + 1) / 2
        else:
            large = to_levels(joined, 255 if top == EIGHT_BITS.most else 65535)
        return np.ascontiguousarray(large[..., 0] if is_grey else large).astype(kind)

    return Unpacked(*_split(pixels, takes_alpha), pack, Numbers(0.0, top, kind.kind != "f"))


def _from_tensor(tensor: Tensor, takes_alpha: bool) -> Unpacked[Tensor]:
    if tensor.ndim not in (3, 4) or tensor.numel() == 0:
        raise ImageError(f"a tensor of shape {tuple(tensor.shape)} is not an image; give (c, h, w) or (b, c, h, w)")
    if not tensor.is_floating_point():
        raise ImageError(f"a tensor of {tensor.dtype} has no known range; give floats from -1 to 1")
    pixels = tensor.detach().cpu().float()
    _check_range(float(pixels.min()), float(pixels.max()), -1.0)
    is_one = tensor.ndim == 3

    def pack(pixels: Tensor, alpha: Tensor | None, ratio: Ratio) -> Tensor:
        del ratio
        joined = _joined(pixels, alpha)
        return (joined[0] if is_one else joined).detach().to(tensor)

    return Unpacked(*_split(pixels[None] if is_one else pixels, takes_alpha), pack, Numbers(-1.0, 1.0, False))


def _split(pixels: Tensor, takes_alpha: bool) -> tuple[Tensor, Tensor | None]:
    """Take alpha, in [0, 1], from (b, c, h, w) if it is there."""
    if not takes_alpha or pixels.shape[1] not in (2, 4):
        return pixels, None
    return pixels[:, :-1], (pixels[:, -1:] + 1) / 2


def _joined(pixels: Tensor, alpha: Tensor | None) -> Tensor:
    return pixels if alpha is None else torch.cat([pixels, alpha.to(pixels) * 2 - 1], dim=1)


def _check_range(least: float, greatest: float, bottom: float) -> None:
    if not bottom <= least <= greatest <= 1:  # NaN is in no range
        found = f"{least:.4g} to {greatest:.4g}"
        raise ImageError(
            f"the image holds values from {found}, but floats are from {bottom:g} to 1; scale or clamp them"
        )
