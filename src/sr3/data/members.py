"""Member names inside a WebDataset shard: which belong together, and what each member is."""

import tarfile
from pathlib import PurePosixPath
from typing import Self

from sr3.data.sources import NO_LABEL
from sr3.errors import DataError
from sr3.images.files import WRITABLE_SUFFIXES

__all__ = [
    "LOW_RES",
    "SUFFIXES",
    "CheckedHeader",
    "check_member",
    "class_number",
    "is_class",
    "is_low",
    "is_picture",
    "key_of",
    "printable",
]

LOW_RES = ".lr."
"""In the name of a shard's member: the low-resolution version of its neighbour, not an image of its own."""

SUFFIXES = (*WRITABLE_SUFFIXES, ".npy")
"""Files that are taken for training images."""


_LARGEST = 2**36
"""Bytes of a member above which its header must be damaged."""


_MOST_IN_PICTURE = 2**32
"""Bytes that an encoded image may have: more than the most pixels that are read, at 16 bits and with alpha, need."""
_MOST_IN_CLASS = 2**10


class CheckedHeader(tarfile.TarInfo):
    """A header that must be whole: tarfile by itself takes a damaged one for the end of the shard."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header, or the zeros that end a shard; ReadError for anything else."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # pyright: ignore[reportAttributeAccessIssue] (missing in its types)
            raise
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            raise tarfile.ReadError(f"truncated or damaged: {error}") from error
        if not 0 <= header.size <= _LARGEST:
            raise tarfile.ReadError(f"damaged: a member of {header.size} bytes")
        return header


def printable(name: str) -> str:
    """Write a name in one line of plain text, whatever it holds."""
    plain = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in plain)


def key_of(name: str) -> str:
    """Name a sample: the path up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def is_low(name: str) -> bool:
    """Return whether a member is the low-resolution version of another."""
    return LOW_RES in name.rpartition("/")[2] and is_picture(name)


def is_picture(name: str) -> bool:
    """Return whether a member is an image of either kind; what a Mac puts beside each file is none."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._") and "__MACOSX" not in path.parts


def is_class(name: str) -> bool:
    """Return whether a member holds the number of a class."""
    return name.endswith(".cls") and not PurePosixPath(name).name.startswith("._")


def check_member(entry: tarfile.TarInfo) -> None:
    """Raise ReadError for a member that claims more bytes than its kind can have, before any of them are read."""
    most = _MOST_IN_PICTURE if is_picture(entry.name) else _MOST_IN_CLASS if is_class(entry.name) else _LARGEST
    if entry.size > most:
        raise tarfile.ReadError(f"damaged: {printable(entry.name)} claims {entry.size:,} bytes")


def class_number(data: bytes | None, name: str) -> int:
    """Read the number of a class; no data, no label. Raises DataError when it is none."""
    if data is None:
        return NO_LABEL
    text = data[:32].decode("ascii", "replace").strip()
    if not text.isdecimal():
        raise DataError(f"{name}: holds {text!r}, not a class index; prepare the data again")
    return int(text)
