"""Image formats beyond Pillow: how a file is recognised, and which extra reads it.

Recognised by their first bytes: HEIC and AVIF are boxes of ISO base media files (ISO/IEC 23008-12), JPEG XL is
ISO/IEC 18181-2. Raw files of cameras have no signature of their own and are known by their suffix.
"""

import importlib
import struct
from types import ModuleType
from typing import BinaryIO, Literal

from sr3.errors import ImageError

__all__ = ["RAW_SUFFIXES", "Kind", "kind_of", "load_library"]

Kind = Literal["jxl", "heic", "avif", "raw"]

RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
"""Suffixes, in lower case, of raw files of cameras."""

_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_LONGEST_FTYP = 256

_EXTRA = {
    "pillow_heif": ("HEIC", "heic"),
    "pillow_jxl": ("JPEG XL", "jxl"),
    "imagecodecs": ("JPEG XL and AVIF of more than 8 bits", "jxl"),
    "rawpy": ("raw files of cameras", "raw"),
}


def kind_of(file: BinaryIO, suffix: str) -> Kind | None:
    """Return which of these formats a file has; None for any other. Leaves the file at its start."""
    head = file.read(_LONGEST_FTYP)
    file.seek(0)
    if head.startswith(_JXL):
        return "jxl"
    if suffix.lower() in RAW_SUFFIXES:
        return "raw"
    if head[4:8] != b"ftyp":
        return None
    (length,) = struct.unpack(">I", head[:4])
    brands = [head[place : place + 4] for place in range(8, min(length, len(head)), 4) if place != 12]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "avif"
    return "heic" if any(brand in _HEIC_BRANDS for brand in brands) else None


def load_library(name: str) -> ModuleType:
    """Import the library of a format; ImageError, without a file's name, that says which extra to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what, extra = _EXTRA[name]
        raise ImageError(f'cannot be read or written without {name}, for {what}: pip install "sr3[{extra}]"') from error
