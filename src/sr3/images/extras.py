"""What a file says beside its pixels and the usual metadata: chunks and text of a PNG, and what no result gets."""

from typing import BinaryIO

from PIL import Image

__all__ = ["read_colour_chunks", "read_lost", "read_text"]

_IPTC = 0x0404  # among the blocks of Photoshop
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_COLOUR = (b"gAMA", b"cHRM", b"cICP")
_MOST_IN_CHUNK = 64  # bytes; the largest of them has 32


def read_colour_chunks(file: BinaryIO) -> tuple[tuple[bytes, bytes], ...]:
    """Collect the chunks before the pixels of a PNG that say what its numbers mean; none for any other file."""
    if file.read(8) != _PNG_SIGNATURE:
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


def read_text(image: Image.Image, *, beside: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Collect what a PNG says of itself beside what is read elsewhere, by its keys."""
    if image.format != "PNG":
        return ()
    own = ((key, value) for key, value in image.info.items() if isinstance(key, str) and isinstance(value, str))
    return tuple((key, str(value)) for key, value in own if key not in beside)


def read_lost(image: Image.Image) -> tuple[str, ...]:
    """Name what a file holds beside its pixels that no format gets from here."""
    lost: list[str] = []
    blocks = image.info.get("photoshop")
    if isinstance(blocks, dict) and _IPTC in blocks:
        lost.append("IPTC")
    tags = getattr(image, "tag_v2", {})
    if any(tag in tags for tag in _GEO_TAGS):
        lost.append("GeoTIFF tags")
    return tuple(lost)
