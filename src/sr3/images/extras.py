"""Metadata beyond the usual: PNG chunks and text, IPTC, and what is not copied to a result."""

import re
import struct
from collections.abc import Mapping
from typing import BinaryIO, cast

from PIL import Image

from sr3.images.georeference import GEO_TAGS

__all__ = [
    "CICP",
    "IPTC_TAG",
    "iptc_marker",
    "nclx_chunks",
    "read_colour_chunks",
    "read_iptc",
    "read_lost",
    "read_text",
]

_IPTC = 0x0404  # among the blocks of Photoshop
IPTC_TAG = 33723
"""Of TIFF."""
_LOST_TAGS = {42112: "GDAL metadata", 50844: "RPC coefficients"}
"""Tags of TIFF that are true of the small image only."""
_MOST_IN_MARKER = 65533
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CICP = b"cICP"
"""Chunk of a PNG: primaries, transfer, matrix and range, a byte each."""
_OF_COLOUR = (b"gAMA", b"cHRM", CICP)
_NCLX = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
"""Primaries and transfer in the box of HEIF."""
_SRGB_PRIMARIES, _SRGB_TRANSFERS = (1, 2), (1, 2, 6, 13, 14, 15)  # 2 is unspecified; curves of video are shown as sRGB
_MOST_IN_CHUNK = 64  # bytes; the largest of them has 32


def read_colour_chunks(file: BinaryIO) -> tuple[tuple[bytes, bytes], ...]:
    """Collect what says what the numbers of a PNG or AVIF mean, as chunks of a PNG; nothing of any other file."""
    signature = file.read(8)
    if signature[4:] == b"ftyp":
        found = _NCLX.search(file.read())
        return () if found is None else nclx_chunks(*(int.from_bytes(part, "big") for part in found.groups()))
    if signature != _PNG_SIGNATURE:
        return ()
    chunks: list[tuple[bytes, bytes]] = []
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] in _OF_COLOUR and length <= _MOST_IN_CHUNK:
            chunks.append((head[4:], file.read(length)))
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    return tuple(chunks)


def nclx_chunks(primaries: int, transfer: int) -> tuple[tuple[bytes, bytes], ...]:
    """Say as a PNG does what colours HEIC and AVIF name by numbers (ITU-T H.273); nothing for those of sRGB."""
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return ()
    return ((CICP, bytes([primaries % 256, transfer % 256, 0, 1])),)


def read_text(image: Image.Image, *, beside: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Collect what a PNG says of itself beside what is read elsewhere, by its keys."""
    if image.format != "PNG":
        return ()
    own = ((key, value) for key, value in image.info.items() if isinstance(key, str) and isinstance(value, str))
    return tuple((key, str(value)) for key, value in own if key not in beside)


def read_iptc(image: Image.Image) -> bytes | None:
    """Find the record of IPTC in a JPEG's blocks of Photoshop, or in a TIFF's tag."""
    blocks = image.info.get("photoshop")
    if isinstance(blocks, dict) and isinstance(found := cast(dict[int, object], blocks).get(_IPTC), bytes):
        return found or None
    # A TIFF may hold it as long numbers, so the bytes are taken as they lie in the file.
    raw = getattr(getattr(image, "tag_v2", None), "_tagdata", {})
    return raw.get(IPTC_TAG) or None


def iptc_marker(record: bytes) -> bytes | None:
    """Lay a record of IPTC out as the marker of a JPEG; None when it is too long for one."""
    padded = record + b"\0" * (len(record) % 2)
    body = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(record)) + padded
    return None if len(body) > _MOST_IN_MARKER else b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def read_lost(tags: Mapping[int, object], *, is_turned: bool) -> tuple[str, ...]:
    """Name the tags of a TIFF that no result gets from here."""
    lost = [name for tag, name in _LOST_TAGS.items() if tag in tags]
    if is_turned and any(tag in tags for tag in GEO_TAGS):
        lost.append("GeoTIFF tags of a turned image")
    return tuple(lost)
