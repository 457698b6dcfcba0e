"""Encoded training images into pixels: 8-bit grey or RGB, nothing lost or invented."""

import io

import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from torch import Tensor

from sr3.errors import DataError

__all__ = ["GREY_MODES", "decode_image"]

GREY_MODES = ("1", "L", "LA")
"""Pillow's kinds of pixels that are grey."""


def decode_image(data: bytes, name: str, *, upright: bool = False) -> Tensor:
    """Decode an image to uint8 (c, h, w), grey or RGB; DataError, with the name, when it cannot be.

    upright: carry out the turn that EXIF names, which data sets made for other programs expect nobody to do.
    """
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            image.load()
            turned = ImageOps.exif_transpose(image) if upright else image
            plain = _plain(turned, name)
            pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
            return pixels.reshape(plain.height, plain.width, -1).permute(2, 0, 1)
    except DataError:
        raise
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception.
        detail = " ".join(str(error).split())
        raise DataError(f"{name}: cannot be decoded ({detail}); remove or replace it") from error


def _plain(image: PillowImage.Image, name: str) -> PillowImage.Image:
    """Turn a decoded image into 8-bit grey or RGB; DataError where that would lose or invent something."""
    if image.mode not in ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise DataError(f"{name}: has pixels of kind {image.mode}, not 8-bit grey or colour; convert or remove it")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise DataError(f"{name}: is partly transparent, its hidden colours cannot be learnt; flatten or remove it")
    return image.convert("L" if image.mode in GREY_MODES else "RGB")
