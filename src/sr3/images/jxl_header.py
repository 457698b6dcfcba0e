"""The boxes of a JPEG XL file and the header of its codestream: size and depth are known before it is decoded.

Codestream: ISO/IEC 18181-1, section on image headers; boxes: ISO/IEC 18181-2.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sr3.errors import ImageError

__all__ = ["JxlHeader", "as_srgb", "boxes_of", "read_jxl_header", "with_boxes"]

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"jxl \0\0\0\0jxl "
_SIGNATURE_BITS = 16
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_CURVE_BITS = 4
_GREY, _D65, _SRGB_PRIMARIES, _LINEAR, _SRGB_CURVE = 1, 1, 1, 8, 13
"""Kinds of colours, white, primaries and transfer as a codestream numbers them."""
_MOST_HEADER = 128
"""Bytes within which an image header ends."""
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


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


def boxes_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
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
    for kind, content in boxes_of(data):
        if kind == b"jxlc":
            return content
        if kind == b"jxlp":
            return content[4:]
    raise ImageError("holds no JPEG XL codestream; copy or download it again")


def as_srgb(code: bytes) -> bytes:
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
    match kind:
        case 0:  # alpha: whether colours are multiplied by it
            bits.take(1)
        case 2:  # a spot colour: four numbers of 16 bits
            bits.take(4 * 16)
        case 5:  # of a mosaic: which of its channels
            bits.choose((1, 0), (0, 2), (3, 4), (19, 8))
        case _:
            pass


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_boxes(code: bytes, boxes: Mapping[bytes, bytes]) -> bytes:
    """Put a bare codestream into a file, after boxes of these types and contents."""
    parts = [_SIGNATURE, _box(b"ftyp", _FILE_TYPE), *(_box(*one) for one in boxes.items()), _box(b"jxlc", code)]
    return b"".join(parts)
