"""JPEG XL: pixels of 8 and 16 bits and floats, upright, with colour profile, EXIF and XMP.

imagecodecs (libjxl) decodes and encodes pixels, pillow-jxl-plugin gives the colour profile.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr3.images.colour_profile import is_linear_srgb
from sr3.images.exif import EXIF_PREFIX
from sr3.images.formats import load_library
from sr3.images.jxl_header import JxlHeader, as_srgb, boxes_of, read_jxl_header, with_boxes
from sr3.images.metadata import Metadata, read_metadata, turn_upright
from sr3.images.picture import Picture, from_numbers

__all__ = ["encode_jxl", "read_jxl"]

_MOST_METADATA = 2**25
"""Bytes to which a packed box may unpack."""

_TIFF_MARKS = (b"II*\0", b"MM\0*")
_LOSSLESS = 100
_OVERSHOOT = 0.3
"""By how much a lossy file may leave the range of what it encodes: near black the curve of sRGB is steep."""


def read_jxl(data: bytes) -> Picture:
    """Read the first image of a JPEG XL file, turned upright once, by its codestream and not by its EXIF.

    Raises ImageError, without a name, for floats outside 0 to 1; what the decoder raises where the data are damaged.
    """
    codecs = load_library("imagecodecs")
    header = read_jxl_header(data)
    array = np.asarray(codecs.jpegxl_decode(data, index=0))
    planes, depth = from_numbers(_full_range(array[..., None] if array.ndim == 2 else array, header))
    colours = 1 if len(planes) < 3 else 3
    alpha = planes[colours:] if len(planes) in (2, 4) else None
    return Picture(planes[:colours] * 2 - 1, alpha, depth, _read_metadata(data))


def _full_range(array: NDArray[Any], header: JxlHeader) -> NDArray[Any]:
    """Spread whole numbers of 1 to 15 bits over all that their type holds; the decoder leaves them as they are.

    Floats of a lossy file that are outside 0 to 1 by no more than its errors are brought back.
    """
    if header.is_float and header.is_lossy and array.min() >= -_OVERSHOOT and array.max() <= 1 + _OVERSHOOT:
        return array.clip(0, 1)
    if header.is_float or header.bits in (8, 16):
        return array
    full = 255 if header.bits < 8 else 65535
    kind = np.uint8 if header.bits < 8 else np.uint16
    return np.rint(array.astype(np.float64) * (full / (2**header.bits - 1))).astype(kind)


def _read_metadata(data: bytes) -> Metadata:
    stand_in = Image.new("L", (1, 1))
    _, _, _, profile, _ = load_library("pillow_jxl").Decoder(num_threads=1)(data)
    if profile:
        stand_in.info["icc_profile"] = bytes(profile)
    for kind, content in boxes_of(data):
        name, content = (content[:4], _unpacked(content[4:])) if kind == b"brob" else (kind, content)
        if name == b"Exif" and (exif := _exif_in(content)):
            stand_in.info["exif"] = EXIF_PREFIX + exif
        elif name == b"xml ":
            stand_in.info["xmp"] = content
    turn_upright(stand_in)
    return read_metadata(stand_in)


def _exif_in(content: bytes) -> bytes:
    """Find EXIF, without its mark, in a box: after an offset as the standard has it, or without one, as some write."""
    if content.startswith(_TIFF_MARKS):
        return content
    skip = int.from_bytes(content[:4], "big")
    found = content[4 + skip :].removeprefix(EXIF_PREFIX)
    if found.startswith(_TIFF_MARKS):
        return found
    warnings.warn("EXIF is damaged and left out", stacklevel=2)
    return b""


def _unpacked(content: bytes) -> bytes:
    decoded = load_library("imagecodecs").brotli_decode(content, out=bytearray(_MOST_METADATA))
    return bytes(decoded)


def encode_jxl(levels: NDArray[Any], metadata: Metadata, *, quality: int) -> bytes:
    """Encode (h, w, c) of uint8, uint16 or float32 from 0 to 1; c: grey or RGB, with alpha or without.

    quality: 1 to 100; 100 keeps every number. The profile of metadata is not written: the pixels count as sRGB, with
    more than 8 bits as sRGB in linear light where it says that.
    """
    codecs = load_library("imagecodecs")
    way = {"lossless": True} if quality == _LOSSLESS else {"level": quality}
    counts_as_linear = levels.dtype != np.uint8  # by imagecodecs
    is_changed = counts_as_linear and not (metadata.icc and is_linear_srgb(metadata.icc))
    if is_changed and quality != _LOSSLESS:
        levels = _linear(levels)
    pixels = levels[..., 0] if levels.shape[2] == 1 else levels
    code = bytes(codecs.jpegxl_encode(pixels, numthreads=1, usecontainer=False, **way))
    boxes = dict(boxes_of(code)) or {b"jxlc": code}
    if is_changed:
        boxes[b"jxlc"] = as_srgb(boxes[b"jxlc"])
    own = {kind: content for kind, content in boxes.items() if kind not in (b"JXL ", b"ftyp", b"jxlc")}
    if metadata.exif:
        own[b"Exif"] = b"\0\0\0\0" + metadata.exif.removeprefix(EXIF_PREFIX)
    if metadata.xmp:
        own[b"xml "] = metadata.xmp
    if not own:
        return boxes[b"jxlc"]
    return with_boxes(boxes[b"jxlc"], own)


def _linear(levels: NDArray[Any]) -> NDArray[Any]:
    """Undo the curve of sRGB (IEC 61966-2-1), which the lossy encoder expects of more than 8 bits; alpha stays."""
    top = 1.0 if levels.dtype == np.float32 else float(np.iinfo(levels.dtype).max)
    colours, numbers = 1 if levels.shape[2] < 3 else 3, levels / top
    part = numbers[..., :colours]
    numbers[..., :colours] = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return numbers.astype(np.float32) if top == 1 else np.rint(numbers * top).astype(levels.dtype)
