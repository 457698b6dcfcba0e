"""Images of 16 bits per channel, and TIFF of floats, which Pillow cannot hold in colour.

Reading: Pillow decodes 16 bits and keeps the upper 8. Told that the bytes of each value lie the other way round, it
keeps the lower 8; so two passes give all 16, with Pillow's own care for damaged files. Writing: Pillow writes all that
surrounds the pixels, and only the pixels are put in their place. PNG: ISO/IEC 15948 (chunks, filter 2); TIFF 6.0.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sr3.images.libtiff import load_pixels
from sr3.images.metadata import Metadata, turn_upright
from sr3.images.picture import Picture
from sr3.images.recorded_warnings import recorded_warnings
from sr3.images.refusal import refusal

__all__ = ["deep_png", "deep_tiff", "has_deep_colour", "is_deep", "join_bytes", "lower_bytes", "read_grey16"]

_LOWER = {
    ";16B": ";16L",
    ";16L": ";16B",
    ";16N": ";16B" if np.little_endian else ";16L",
}
_MODES = ("RGB", "RGBA", "RGBX", "CMYK")
_PNG_GREY_ALPHA = "LA;16B"
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
_BITS_TAG, _PLANAR_TAG, _FORMAT_TAG, _FLOATS = 258, 284, 339, 3  # of TIFF
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_deep(image: Image.Image) -> bool:
    """Return whether an image, opened and not yet loaded, has 16 bits in each of several channels, all to be had."""
    rawmodes = [_rawmode(tile) for tile in getattr(image, "tile", ())]
    planar = getattr(image, "tag_v2", {}).get(_PLANAR_TAG, 1) != 1
    return bool(rawmodes) and not planar and all(_lower(rawmode) for rawmode in rawmodes)


def has_deep_colour(image: Image.Image) -> bool:
    """Return whether a TIFF that Pillow would read as 8 bits per channel has more."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_TAG, (8,))
    return image.mode in ("RGB", "RGBA", "CMYK") and max(bits) > 8


def _rawmode(tile: tuple[object, ...]) -> str:
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _lower(rawmode: str) -> str:
    """Name the layout that gives the lower bytes; empty where there is none."""
    if rawmode == _PNG_GREY_ALPHA:
        return "RGBA"  # all four bytes as they are
    mode, order = rawmode[:4].partition(";")[0], rawmode[-4:]
    return mode + _LOWER[order] if mode in _MODES and order in _LOWER and len(rawmode) == len(mode) + 4 else ""


def read_grey16(path: Path, image: Image.Image, metadata: Metadata) -> Picture:
    """Make a picture of loaded grey of 16 bits; ImageError for a TIFF of other bits."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_BITS_TAG, (16,)) != (16,):
        raise refusal(path, "is 12-bit grey, which Pillow reads wrongly; convert it to PNG")
    values = torch.from_numpy(np.asarray(image).astype(np.int32))[None]
    key = image.info.get("transparency")
    alpha = None if key is None else (values != key).float()
    return Picture(values.float().div_(32767.5).sub_(1), alpha, 16, metadata)


def lower_bytes(file: BinaryIO, formats: tuple[str, ...], *, upright: bool) -> Image.Image:
    """Open a file that `is_deep` a second time and load the lower bytes, turned upright if the upper ones were."""
    image = Image.open(file, formats=formats)
    for place, tile in enumerate(image.tile):
        rawmode, arguments = _lower(_rawmode(tile)), tile[3]
        changed = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
        image.tile[place] = tile._replace(args=changed)  # pyright: ignore[reportArgumentType] (as Pillow makes them)
    is_grey = image.format == "PNG" and _rawmode(image.tile[0]) == "RGBA"
    with recorded_warnings():  # which the pass before has given
        load_pixels(image)
    image.info["is_grey"] = is_grey
    if upright:
        turn_upright(image)
    return image


def join_bytes(upper: Image.Image, lower: Image.Image) -> tuple[Tensor, Tensor | None]:
    """Join both passes into pixels (c, h, w) in [-1, 1] and alpha (1, h, w) in [0, 1] or None.

    CMYK comes out as light: 1 for no ink.
    """
    high, low = (np.asarray(image).astype(np.int32) for image in (upper, lower))
    values = (low[..., 0::2] << 8 | low[..., 1::2]) if lower.info["is_grey"] else (high << 8 | low)
    planes = torch.from_numpy(values).permute(2, 0, 1)
    key = lower.info.get("transparency")
    if upper.mode == "CMYK":
        return planes.float().div(-32767.5).add_(1), None
    count = 1 if lower.info["is_grey"] else 3
    pixels = planes[:count].float().div(32767.5).sub_(1)
    if len(planes) > count:
        return pixels, planes[count:].float().div(65535)
    if isinstance(key, tuple):
        return pixels, (planes != torch.tensor(key)[:, None, None]).any(0, keepdim=True).float()
    return pixels, None


def deep_png(levels: NDArray[np.unsignedinteger], options: dict[str, Any]) -> bytes:
    """Encode (h, w, c) of 16 bits, c from 1 (grey) to 4 (RGB and alpha), with options of Pillow's `save`."""
    height, width, count = levels.shape
    surrounds = io.BytesIO()
    Image.new("L", (1, 1)).save(surrounds, "PNG", **options)
    written = io.BytesIO()
    written.write(_SIGNATURE)
    for kind, data in _chunks(surrounds.getvalue()):
        if kind == b"IHDR":
            data = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOURS[count], 0, 0, 0)
        elif kind == b"IDAT":
            data = _compressed(levels)
        written.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return written.getvalue()


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def _compressed(levels: NDArray[np.unsignedinteger]) -> bytes:
    """Compress the rows, each as its difference to the one above (filter 2)."""
    packer, parts = zlib.compressobj(6), list[bytes]()
    above = np.zeros(levels.shape[1] * levels.shape[2] * 2, np.uint8)
    for row in levels:
        here = row.astype(">u2").view(np.uint8).reshape(-1)
        parts.append(packer.compress(b"\x02" + (here - above).tobytes()))
        above = here
    return b"".join([*parts, packer.flush()])


def deep_tiff(numbers: NDArray[np.unsignedinteger | np.float32], mode: str, options: dict[str, Any]) -> bytes:
    """Encode (h, w, c) of uint16 or float32 in a mode of Pillow (L, RGB, RGBA, LA, CMYK), with options of its `save`.

    A row of n pixels of 16 bits is a row of 2 n pixels of 8: it is written so, and the two tags that say so are fixed.
    """
    height, width, count = numbers.shape
    size, is_float = numbers.dtype.itemsize, numbers.dtype.kind == "f"
    data = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes()
    if is_float:
        exif = Image.Exif()
        exif.load(options.get("exif", b""))
        exif[_FORMAT_TAG] = (_FLOATS,) * count
        options = {**options, "exif": exif}
    file = io.BytesIO()
    Image.frombytes(mode, (size * width, height), data).save(file, "TIFF", **options)
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        tags = tiff.pages.first.tags
        tags["ImageWidth"].overwrite(width)
        tags["BitsPerSample"].overwrite((8 * size,) * count)
        return file.getvalue()
