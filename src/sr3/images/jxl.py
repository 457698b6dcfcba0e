"""JPEG XL: pixels of 8 and 16 bits and floats, upright, with colour profile, EXIF and XMP.

imagecodecs (libjxl) decodes and encodes pixels, pillow-jxl-plugin gives the colour profile; the boxes around the
codestream and its header are read here, so that size and bit depth are known before anything is decoded.
Codestream: ISO/IEC 18181-1, section on image headers; boxes: ISO/IEC 18181-2.
"""

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr3.errors import ImageError
from sr3.images.colour_profile import is_linear_srgb
from sr3.images.formats import load_library
from sr3.images.metadata import Metadata, read_metadata, turn_upright
from sr3.images.picture import Picture, from_numbers

__all__ = ["JxlHeader", "encode_jxl", "read_jxl", "read_jxl_header"]

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"jxl \0\0\0\0jxl "
_MOST_METADATA = 2**25
"""Bytes to which a packed box may unpack."""
_EXIF_MARK = b"Exif\0\0"
_TIFF_MARKS = (b"II*\0", b"MM\0*")
_SIGNATURE_BITS = 16
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_CURVE_BITS = 4
_GREY, _D65, _SRGB_PRIMARIES, _LINEAR, _SRGB_CURVE, _ALPHA = 1, 1, 1, 8, 13, 0
"""Kinds of colours, white, primaries, transfer and channels as a codestream numbers them."""
_MOST_HEADER = 128
"""Bytes within which an image header ends."""
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LOSSLESS = 100
_OVERSHOOT = 0.3
"""By how much a lossy file may leave the range of what it encodes: near black the curve of sRGB is steep."""


class JxlHeader(NamedTuple):
    """What a codestream says first: width and height before any turn, how a sample is stored, and the turn, 1 to 8.

    is_lossy: whether the colours are those of the format itself (XYB), from which numbers return only roughly.
    """

    width: int
    height: int
    bits: int
    is_float: bool
    turn: int = 1
    is_lossy: bool = True


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
    return _take_header(_Bits(_codestream_start(data), _SIGNATURE_BITS))


def _take_header(bits: _Bits) -> JxlHeader:
    width, height = _size(bits)
    if bits.take(1):  # all by default
        return JxlHeader(width, height, 8, is_float=False)
    turn = _extra_fields(bits) if bits.take(1) else 1
    depth = _depth(bits)
    bits.take(1)  # of buffers
    for _ in range(bits.choose((0, 0), (1, 0), (2, 4), (1, 12))):
        _skip_channel(bits)
    return JxlHeader(width, height, *depth, turn, is_lossy=bool(bits.take(1)))


def _depth(bits: _Bits) -> tuple[int, bool]:
    """Read the bits of a sample, and whether it is a float."""
    if not bits.take(1):
        return bits.choose((8, 0), (10, 0), (12, 0), (1, 6)), False
    found = bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
    bits.take(4)  # of the exponent
    return found, True


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
    for kind, content in _boxes(data):
        name, content = (content[:4], _unpacked(content[4:])) if kind == b"brob" else (kind, content)
        if name == b"Exif" and (exif := _exif_in(content)):
            stand_in.info["exif"] = _EXIF_MARK + exif
        elif name == b"xml ":
            stand_in.info["xmp"] = content
    turn_upright(stand_in)
    return read_metadata(stand_in)


def _exif_in(content: bytes) -> bytes:
    """Find EXIF, without its mark, in a box: after an offset as the standard has it, or without one, as some write."""
    if content.startswith(_TIFF_MARKS):
        return content
    skip = int.from_bytes(content[:4], "big")
    found = content[4 + skip :].removeprefix(_EXIF_MARK)
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
    boxes = dict(_boxes(code)) or {b"jxlc": code}
    if is_changed:
        boxes[b"jxlc"] = _as_srgb(boxes[b"jxlc"])
    own = {kind: content for kind, content in boxes.items() if kind not in (b"JXL ", b"ftyp", b"jxlc")}
    if metadata.exif:
        own[b"Exif"] = b"\0\0\0\0" + metadata.exif.removeprefix(_EXIF_MARK)
    if metadata.xmp:
        own[b"xml "] = metadata.xmp
    if not own:
        return boxes[b"jxlc"]
    return b"".join(
        [_SIGNATURE, _box(b"ftyp", _FILE_TYPE), *(_box(*one) for one in own.items()), _box(b"jxlc", boxes[b"jxlc"])]
    )


def _linear(levels: NDArray[Any]) -> NDArray[Any]:
    """Undo the curve of sRGB (IEC 61966-2-1), which the lossy encoder expects of more than 8 bits; alpha stays."""
    top = 1.0 if levels.dtype == np.float32 else float(np.iinfo(levels.dtype).max)
    colours, numbers = 1 if levels.shape[2] < 3 else 3, levels / top
    part = numbers[..., :colours]
    numbers[..., :colours] = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return numbers.astype(np.float32) if top == 1 else np.rint(numbers * top).astype(levels.dtype)


def _as_srgb(code: bytes) -> bytes:
    """Let a codestream of imagecodecs, which calls more than 8 bits linear light, say that its curve is that of sRGB.

    Both are numbers of as many bits. Raises ImageError for a codestream that says something else.
    """
    bits = _Bits(code, _SIGNATURE_BITS)
    _take_header(bits)
    is_default, has_profile = bits.take(1), bits.take(1)
    expected = [_D65] if bits.choose(*_ENUM) == _GREY else [_D65, _SRGB_PRIMARIES]
    found = [bits.choose(*_ENUM) for _ in expected]
    has_gamma = bits.take(1)
    curve, place = bits.choose(*_ENUM), bits.place - _CURVE_BITS
    if is_default or has_profile or has_gamma or found != expected or curve != _LINEAR:
        raise ImageError("cannot be written: the installed imagecodecs describes colours otherwise; use .png or .tif")
    changed = int.from_bytes(code[:_MOST_HEADER], "little") ^ ((_LINEAR - 2) ^ (_SRGB_CURVE - 2)) << place
    return changed.to_bytes(min(len(code), _MOST_HEADER), "little") + code[_MOST_HEADER:]


def _skip_channel(bits: _Bits) -> None:
    """Pass over the description of a channel beside the colours."""
    if bits.take(1):  # all by default
        return
    kind = bits.choose(*_ENUM)
    _depth(bits)
    bits.choose((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.choose((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == _ALPHA:
        bits.take(1)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
