"""JPEG XL: pixels of 8 and 16 bits and floats, upright, with colour profile, EXIF and XMP.

imagecodecs (libjxl) decodes and encodes pixels, pillow-jxl-plugin gives the colour profile; the boxes around the
codestream and its header are read here, so that size and bit depth are known before anything is decoded.
Codestream: ISO/IEC 18181-1, section on image headers; boxes: ISO/IEC 18181-2.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr3.errors import ImageError
from sr3.images.formats import load_library
from sr3.images.metadata import Metadata, read_metadata, turn_upright
from sr3.images.picture import Picture, from_numbers

__all__ = ["JxlHeader", "encode_jxl", "read_jxl", "read_jxl_header"]

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"jxl \0\0\0\0jxl "
_MOST_METADATA = 2**25
"""Bytes to which a packed box may unpack."""
_EXIF_MARK = b"Exif\0\0"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LOSSLESS = 100


class JxlHeader(NamedTuple):
    """What a codestream says first: width and height before any turn, how a sample is stored, and the turn, 1 to 8."""

    width: int
    height: int
    bits: int
    is_float: bool
    turn: int = 1


@dataclass
class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    data: bytes
    place: int = 0

    def take(self, count: int) -> int:
        value = 0
        for index in range(count):
            byte, bit = divmod(self.place, 8)
            if byte >= len(self.data):
                raise ImageError("is cut short: it ends within its header; copy or download it again")
            value |= (self.data[byte] >> bit & 1) << index
            self.place += 1
        return value

    def choose(self, *ways: tuple[int, int]) -> int:
        """Read a number in one of four ways, each a constant and the bits to add to it."""
        constant, bits = ways[self.take(2)]
        return constant + self.take(bits)


def read_jxl_header(data: bytes) -> JxlHeader:
    """Read size and bit depth without decoding; ImageError, without a name, where the header is damaged."""
    bits = _Bits(_codestream_start(data)[2:])
    width, height = _size(bits)
    if bits.take(1):  # all by default
        return JxlHeader(width, height, 8, is_float=False)
    turn = _extra_fields(bits) if bits.take(1) else 1
    if bits.take(1):
        return JxlHeader(width, height, bits.choose((32, 0), (16, 0), (24, 0), (1, 6)), is_float=True, turn=turn)
    return JxlHeader(width, height, bits.choose((8, 0), (10, 0), (12, 0), (1, 6)), is_float=False, turn=turn)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if small else bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _extra_fields(bits: _Bits) -> int:
    """Read the orientation, 1 to 8, and pass over intrinsic size, preview and animation."""
    turn = 1 + bits.take(3)
    if bits.take(1):
        _size(bits)
    if bits.take(1):
        eighths = bits.take(1)
        ways = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
        bits.choose(*ways)
        if not bits.take(3):
            bits.choose(*ways)
    if bits.take(1):
        bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
        bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
        bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
        bits.take(1)
    return turn


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return type and content of each box; nothing for a bare codestream."""
    place = 0 if data.startswith(_SIGNATURE) else len(data)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if length == 1:
            if start + 8 > len(data):
                return
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if length == 0 else place + length
        if end < start:
            return
        yield kind, data[start:end]
        place = end


def _codestream_start(data: bytes) -> bytes:
    if not data.startswith(_SIGNATURE):
        return data
    for kind, content in _boxes(data):
        if kind == b"jxlc":
            return content
        if kind == b"jxlp":
            return content[4:]
    raise ImageError("holds no JPEG XL codestream; copy or download it again")


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
    """Spread whole numbers of 1 to 15 bits over all that their type holds; the decoder leaves them as they are."""
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
    for kind, content in _boxes(data):
        name, content = (content[:4], _unpacked(content[4:])) if kind == b"brob" else (kind, content)
        if name == b"Exif" and len(content) > 4:
            (skip,) = struct.unpack(">I", content[:4])
            stand_in.info["exif"] = _EXIF_MARK + content[4 + skip :]
        elif name == b"xml ":
            stand_in.info["xmp"] = content
    turn_upright(stand_in)
    return read_metadata(stand_in)


def _unpacked(content: bytes) -> bytes:
    decoded = load_library("imagecodecs").brotli_decode(content, out=bytearray(_MOST_METADATA))
    return bytes(decoded)


def encode_jxl(levels: NDArray[Any], metadata: Metadata, *, quality: int) -> bytes:
    """Encode (h, w, c) of uint8, uint16 or float32 from 0 to 1; c: grey or RGB, with alpha or without.

    quality: 1 to 100; 100 keeps every number. The profile of metadata is not written: the pixels count as sRGB.
    """
    codecs = load_library("imagecodecs")
    pixels = levels[..., 0] if levels.shape[2] == 1 else levels
    way = {"lossless": True} if quality == _LOSSLESS else {"level": quality}
    code = bytes(codecs.jpegxl_encode(pixels, numthreads=1, usecontainer=False, **way))
    if not (metadata.exif or metadata.xmp):
        return code
    parts = [_SIGNATURE, _box(b"ftyp", _FILE_TYPE)]
    if metadata.exif:
        parts.append(_box(b"Exif", b"\0\0\0\0" + metadata.exif.removeprefix(_EXIF_MARK)))
    if metadata.xmp:
        parts.append(_box(b"xml ", metadata.xmp))
    return b"".join([*parts, _box(b"jxlc", code)])


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
