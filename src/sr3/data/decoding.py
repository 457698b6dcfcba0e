"""Lossless decoding of training images to pixels: grey, RGB, and arrays and TIFF with any number of bands.

What is not plain 8-bit grey or colour is read by the same reader as images that are upscaled.
"""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from torch import Tensor

from sr3.errors import ImageError, UnusableError
from sr3.images.bands import band_header, is_array, is_tiff, read_array
from sr3.images.deep import has_deep_colour, is_deep
from sr3.images.files import read_encoded
from sr3.images.inks import to_light
from sr3.images.libtiff import load_pixels
from sr3.images.refusal import named_warnings
from sr3.images.tiff import holds_bands, tiff_layout

__all__ = ["Pixels", "decode_pixels", "image_header"]

_GREY_MODES = ("1", "L", "LA")
_PLAIN_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class Pixels(NamedTuple):
    """Values (c, h, w) from 0 to 255: uint8, or float32 where there are more levels.

    step: distance of two levels: 1 for 8 bits, 255 / 65535 for 16, 0 for floats.
    """

    values: Tensor
    step: float


def decode_pixels(data: bytes, name: str, *, upright: bool = False) -> Pixels:
    """Decode an image of any bands and depth; UnusableError, with the name, when it cannot be, in the reader's words.

    upright: carry out the turn that EXIF names, which data sets made for other programs expect nobody to do.
    """
    try:
        if _is_of_bands(data):
            return _of_bands(data, name)
        if _is_plain(data):
            return Pixels(_decode_plain(data, name, upright=upright), 1.0)
        return _of_picture(data, name, upright=upright)
    except ImageError as error:
        raise UnusableError(str(error)) from error


def image_header(data: bytes, name: str) -> tuple[int, int, int]:
    """Read width, height and bands (1, 3 or others) without decoding; ImageError or Pillow's own errors."""
    if _is_of_bands(data):
        return band_header(data, name)
    if found := tiff_layout(io.BytesIO(data)):
        return found
    with PillowImage.open(io.BytesIO(data)) as image:
        grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
        return image.width, image.height, 1 if grey else 3


def _is_of_bands(data: bytes) -> bool:
    return is_array(data) or (is_tiff(data) and holds_bands(data))


def _of_bands(data: bytes, name: str) -> Pixels:
    bands = read_array(data, name)
    if bands.depth == 8:
        return Pixels((bands.values * 255).round().byte(), 1.0)
    return Pixels(bands.values * 255, 255 / 65535 if bands.depth == 16 else 0.0)


def _is_plain(data: bytes) -> bool:
    """Return whether Pillow alone reads all there is: 8 bits per channel, of a kind it turns into grey or RGB."""
    try:
        if tiff_layout(io.BytesIO(data)):
            return False
        with PillowImage.open(io.BytesIO(data)) as image:
            return image.mode in _PLAIN_MODES and not is_deep(image) and not has_deep_colour(image)
    except Exception:  # of damaged data, of which the reader says what is wrong
        return False


def _decode_plain(data: bytes, name: str, *, upright: bool) -> Tensor:
    """Decode to uint8 (c, h, w), grey or RGB."""
    try:
        with named_warnings(Path(name)), PillowImage.open(io.BytesIO(data)) as image:
            load_pixels(image)
            turned = ImageOps.exif_transpose(image) if upright else image
            _check_opaque(turned.convert("RGBA").getchannel("A") if turned.has_transparency_data else None, name)
            plain = turned.convert("L" if turned.mode in _GREY_MODES else "RGB")
            pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
            return pixels.reshape(plain.height, plain.width, -1).permute(2, 0, 1)
    except UnusableError:
        raise
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception; the reader says it as everywhere.
        with warnings.catch_warnings(action="ignore"):
            read_encoded(data, name, upright=upright)
        detail = " ".join(str(error).split()).partition(" <_io")[0]
        raise UnusableError(f"{name}: cannot be decoded ({detail}); remove or replace it") from error


def _check_opaque(alpha: PillowImage.Image | None, name: str) -> None:
    if alpha is not None and alpha.getextrema()[0] != 255:
        raise UnusableError(_see_through(name))


def _see_through(name: str) -> str:
    return f"{name}: is partly transparent, its hidden colours cannot be learnt; flatten or remove it"


def _of_picture(data: bytes, name: str, *, upright: bool) -> Pixels:
    """Read by the reader of images: 16 bits, floats, whatever Pillow reads wrongly."""
    picture = read_encoded(data, name, upright=upright)
    if picture.is_transparent:
        raise UnusableError(_see_through(name))
    if picture.space == "cmyk":
        picture = to_light(picture)
    if picture.depth == 8:
        return Pixels(((picture.pixels + 1) * 127.5).round().byte(), 1.0)
    if picture.depth == 16:
        return Pixels(((picture.pixels + 1) * 32767.5).round() / 257, 255 / 65535)
    return Pixels((picture.pixels + 1) * 127.5, 0.0)
