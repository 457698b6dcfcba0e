"""Compression of a TIFF's strips and tiles, checked for completeness before tifffile decodes them.

tifffile would unpack whatever a file holds, and fill what it lacks. So each strip and tile is measured first.
Deflate needs no further package; LZW, PackBits, LZMA, Zstandard and differences of floats by bytes need imagecodecs.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import BinaryIO, cast

import tifffile
from tifffile import COMPRESSION, PLANARCONFIG, SAMPLEFORMAT

from sr3.errors import ImageError

__all__ = ["check_whole"]

_PLAIN, _DEFLATE = COMPRESSION.NONE, (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
_FURTHER = {
    COMPRESSION.LZW: "lzw",
    COMPRESSION.PACKBITS: "packbits",
    COMPRESSION.LZMA: "lzma",
    COMPRESSION.ZSTD: "zstd",
}
"""What imagecodecs unpacks, by its names."""

_DIFFERENCES, _DIFFERENCES_OF_BYTES = 2, 3
_MOST_IN_A_TILE = 2048**2  # pixels, where the image has fewer
_REMEDY = "save it with interleaved channels, uncompressed or with deflate"


def check_whole(page: tifffile.TiffPage, file: BinaryIO) -> None:
    """Raise ImageError, without a name, unless every strip and tile is in the file and unpacks to just what it should.

    Or when it cannot be unpacked here: for a packing that is not read, or without the package that it needs.
    """
    if page.dtype is None:
        raise ImageError(f"holds numbers of {page.bitspersample} bits; give uint8, uint16, or floats from 0 to 1")
    _check_packing(page)
    end, expected = file.seek(0, 2), list(_segments(page))
    if not len(page.dataoffsets) == len(page.databytecounts) == len(expected):
        raise ImageError("is damaged: strips or tiles are missing; copy or save it again")
    for offset, count, (least, most) in zip(page.dataoffsets, page.databytecounts, expected, strict=True):
        if offset <= 0 or offset + count > end:
            raise ImageError("is damaged or cut short; copy or download it again")
        found = count
        if page.compression != _PLAIN:
            file.seek(offset)
            found = _unpacked_size(page.compression, file.read(count), most + 1)
        if not (least <= found and (found <= most or page.compression == _PLAIN)):
            raise ImageError("is damaged: a strip or tile has the wrong size; copy or save it again")


def _check_packing(page: tifffile.TiffPage) -> None:
    name = getattr(page.compression, "name", page.compression)
    if page.compression not in (_PLAIN, *_DEFLATE, *_FURTHER):
        raise ImageError(f"is compressed by {name}, which is not supported for such a TIFF; {_REMEDY}")
    of_floats = page.sampleformat == SAMPLEFORMAT.IEEEFP
    is_native = page.parent.byteorder == ("<" if sys.byteorder == "little" else ">")
    by_bytes = page.predictor == _DIFFERENCES_OF_BYTES and of_floats
    if page.predictor not in (1, _DIFFERENCES) and not by_bytes:
        raise ImageError(f"uses predictor {int(page.predictor)}, which is not supported; {_REMEDY}")
    if page.predictor != 1 and of_floats and not is_native:
        raise ImageError(f"combines a predictor with floats of another byte order, which is not supported; {_REMEDY}")
    if (page.compression in _FURTHER or by_bytes) and find_spec("imagecodecs") is None:
        how = f"is compressed by {name}" if page.compression in _FURTHER else "uses the floating-point predictor"
        raise ImageError(f'{how}, which needs the package imagecodecs: pip install "sr3[tiff]"; or {_REMEDY}')


def _unpacked_size(compression: int, data: bytes, most: int) -> int:
    """Unpack a strip or tile into no more than so many bytes, and count them; 0 where it cannot be unpacked."""
    if compression in _DEFLATE:
        return len(zlib.decompressobj().decompress(data, most))
    import imagecodecs  # an extra, and slow to import

    unpack = cast("Callable[..., bytes]", getattr(imagecodecs, f"{_FURTHER[COMPRESSION(compression)]}_decode"))
    try:
        return len(unpack(data, out=most))
    except Exception:  # each way of packing has errors of its own
        return 0


def _segments(page: tifffile.TiffPage) -> Iterator[tuple[int, int]]:
    """Return the bytes that each strip or tile holds at least and at most, in the order of the file."""
    assert page.dtype is not None
    width, height = page.imagewidth, page.imagelength
    in_planes = page.planarconfig == PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    wide, high = (page.tilewidth, page.tilelength) if page.is_tiled else (width, min(page.rowsperstrip, height))
    if wide * high < 1 or wide * high > max(width * height, _MOST_IN_A_TILE):
        raise ImageError(f"has tiles of {wide}x{high}, which is not a usable size; {_REMEDY}")
    row = wide * page.dtype.itemsize * (1 if in_planes else page.samplesperpixel)
    across = -(-width // wide)
    for _ in range(page.samplesperpixel if in_planes else 1):
        for top in range(0, height, high):
            rows = high if page.is_tiled else min(high, height - top)
            yield from [(rows * row, high * row)] * across
