"""Encoded training images into pixels, nothing lost or invented: grey, RGB, and arrays and TIFF of any bands."""

import io
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from torch import Tensor

from sr3.errors import ImageError, UnusableError
from sr3.images.bands import band_header, is_array, is_tiff, read_array

__all__ = ["Pixels", "decode_image", "decode_pixels", "image_header"]

_GREY_MODES = ("1", "L", "LA")
_BITS_TAG = 258  # of TIFF
_DEEP_MODES = ("I;16", "I;16B", "I;16L")


class Pixels(NamedTuple):
    """Values (c, h, w) from 0 to 255: uint8, or float32 where there are more levels.

    step: distance of two levels: 1 for 8 bits, 255 / 65535 for 16, 0 for floats.
    """

    values: Tensor
    step: float


def decode_pixels(data: bytes, name: str) -> Pixels:
    """Decode an image of any bands and depth; UnusableError, with the name, when it cannot be."""
    if is_array(data) or (is_tiff(data) and _needs_tifffile(data)):
        try:
            bands = read_array(data, name)
        except ImageError as error:
            raise UnusableError(str(error)) from error
        if bands.depth == 8:
            return Pixels((bands.values * 255).round().byte(), 1.0)
        return Pixels(bands.values * 255, 255 / 65535 if bands.depth == 16 else 0.0)
    deep = _deep_grey(data)
    return Pixels(decode_image(data, name), 1.0) if deep is None else Pixels(deep, 255 / 65535)


def _needs_tifffile(data: bytes) -> bool:
    """Tell whether a TIFF holds more than Pillow reads: other than 1 or 3 bands, or more than 8 bits."""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            bits = getattr(image, "tag_v2", {}).get(_BITS_TAG, (8,))[0]
            return image.mode not in ("1", "L", "P", "RGB", "YCbCr") or bits > 8
    except Exception:
        return True


def _deep_grey(data: bytes) -> Tensor | None:
    """Decode 16-bit grey; None for anything else, which `decode_image` decides about."""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            if image.mode not in _DEEP_MODES:
                return None
            values = np.asarray(image).astype(np.float32) / 257
    except Exception:
        return None
    return torch.from_numpy(values)[None]


def image_header(data: bytes, name: str) -> tuple[int, int, int]:
    """Read width, height and bands (1, 3 or others) without decoding; ImageError or Pillow's own errors."""
    if is_array(data) or (is_tiff(data) and _needs_tifffile(data)):
        return band_header(data, name)
    with PillowImage.open(io.BytesIO(data)) as image:
        return image.width, image.height, 1 if image.mode in (*_GREY_MODES, *_DEEP_MODES) else 3


def decode_image(data: bytes, name: str, *, upright: bool = False) -> Tensor:
    """Decode an image to uint8 (c, h, w), grey or RGB; UnusableError, with the name, when it cannot be.

    upright: carry out the turn that EXIF names, which data sets made for other programs expect nobody to do.
    """
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            image.load()
            turned = ImageOps.exif_transpose(image) if upright else image
            plain = _plain(turned, name)
            pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
            return pixels.reshape(plain.height, plain.width, -1).permute(2, 0, 1)
    except UnusableError:
        raise
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception.
        detail = " ".join(str(error).split()).partition(" <_io")[0]
        raise UnusableError(f"{name}: cannot be decoded ({detail}); remove or replace it") from error


def _plain(image: PillowImage.Image, name: str) -> PillowImage.Image:
    """Turn a decoded image into 8-bit grey or RGB; UnusableError where that would lose or invent something."""
    if image.mode not in ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise UnusableError(f"{name}: has pixels of kind {image.mode}, not 8-bit grey or colour; convert or remove it")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise UnusableError(f"{name}: is partly transparent, its hidden colours cannot be learnt; flatten or remove it")
    return image.convert("L" if image.mode in _GREY_MODES else "RGB")
