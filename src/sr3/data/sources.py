"""Training images as a list: a folder of images, or WebDataset tar shards with one sample per image.

A source is a list of encoded files with names, read at random, so that every epoch is one full shuffle.
It knows no pixels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from sr3.errors import DataError

__all__ = [
    "NO_LABEL",
    "Encoded",
    "FolderSource",
    "HeldSource",
    "Member",
    "ShardSource",
    "Source",
    "Span",
    "SubsetSource",
    "encoded",
    "fingerprint",
    "narrowed",
    "stamp",
]

NO_LABEL = -1
"""Label of an image that has no class."""


class Encoded(NamedTuple):
    """An image as its file holds it, with its class, and its low-resolution version where one is given."""

    name: str
    data: bytes
    label: int = NO_LABEL
    low: bytes | None = None


class Source(Protocol):
    """A list of encoded images."""

    def __len__(self) -> int:
        """Count the images."""
        ...

    def name(self, index: int) -> str:
        """Name an image for people."""
        ...

    def read(self, index: int) -> bytes:
        """Read the encoded bytes of an image."""
        ...

    def label(self, index: int) -> int:
        """Return the class of an image, or NO_LABEL."""
        ...

    def read_low(self, index: int) -> bytes | None:
        """Read the encoded bytes of its low-resolution version, where there is one."""
        ...


def encoded(source: Source, index: int, *, with_low: bool = False) -> Encoded:
    """Take an image out of a source; its low-resolution version only if asked for."""
    low = source.read_low(index) if with_low else None
    return Encoded(source.name(index), source.read(index), source.label(index), low)


@dataclass(frozen=True)
class FolderSource:
    """Pictures below a folder, in the order of their paths.

    An image's class is the place of its first folder below the root among `classes`, which are in order. lows: the
    low-resolution versions, in the same order.
    """

    paths: Sequence[Path]
    root: Path = Path()
    classes: Sequence[str] = ()
    lows: Sequence[Path] = ()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return the path."""
        return str(self.paths[index])

    def read(self, index: int) -> bytes:
        """Read the file; DataError when it has gone."""
        return _read_file(self.paths[index])

    def label(self, index: int) -> int:
        """Look the first folder up among the classes."""
        parts = self.paths[index].relative_to(self.root).parts
        return self.classes.index(parts[0]) if len(parts) > 1 else NO_LABEL

    def read_low(self, index: int) -> bytes | None:
        """Read the low-resolution version, as `read`."""
        return _read_file(self.lows[index]) if self.lows else None


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore it and resume") from error


class Span(NamedTuple):
    """Bytes inside a shard."""

    offset: int
    size: int


class Member(NamedTuple):
    """Place of an image inside a shard."""

    shard: Path
    name: str
    span: Span
    label: int = NO_LABEL
    low: Span | None = None


@dataclass(frozen=True)
class ShardSource:
    """Images inside uncompressed tar files, indexed once and then read at random."""

    members: Sequence[Member]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.members)

    def name(self, index: int) -> str:
        """Return shard and member."""
        return f"{self.members[index].shard}:{self.members[index].name}"

    def read(self, index: int) -> bytes:
        """Read one member; DataError when the shard has gone or shrunk."""
        return self._span(index, self.members[index].span)

    def label(self, index: int) -> int:
        """Return the number in the member's neighbour with the suffix .cls."""
        return self.members[index].label

    def read_low(self, index: int) -> bytes | None:
        """Read the member's neighbour with .lr. in its name."""
        low = self.members[index].low
        return None if low is None else self._span(index, low)

    def _span(self, index: int, span: Span) -> bytes:
        shard = self.members[index].shard
        try:
            with shard.open("rb") as file:
                file.seek(span.offset)
                data = file.read(span.size)
        except OSError as error:
            raise DataError(f"{shard}: cannot be read ({error.strerror}); restore it and resume") from error
        if len(data) < span.size:
            raise DataError(f"{self.name(index)}: the shard has become shorter; restore it and resume")
        return data


@dataclass(frozen=True)
class HeldSource:
    """Images in memory."""

    images: Sequence[Encoded]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the name."""
        return self.images[index].name

    def read(self, index: int) -> bytes:
        """Return the bytes."""
        return self.images[index].data

    def label(self, index: int) -> int:
        """Return the class."""
        return self.images[index].label

    def read_low(self, index: int) -> bytes | None:
        """Return the bytes of the low-resolution version."""
        return self.images[index].low


@dataclass(frozen=True)
class SubsetSource:
    """Some images of another source."""

    whole: Source
    indices: Sequence[int]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.indices)

    def name(self, index: int) -> str:
        """Return the name in the other source."""
        return self.whole.name(self.indices[index])

    def read(self, index: int) -> bytes:
        """Read from the other source."""
        return self.whole.read(self.indices[index])

    def label(self, index: int) -> int:
        """Return the class in the other source."""
        return self.whole.label(self.indices[index])

    def read_low(self, index: int) -> bytes | None:
        """Read from the other source."""
        return self.whole.read_low(self.indices[index])


def narrowed(source: Source, indices: Sequence[int]) -> Source:
    """Take some images of a source and forget the others, so that another process can be handed just these."""
    match source:
        case FolderSource(paths, lows=lows):
            kept_lows = [lows[index] for index in indices] if lows else ()
            return replace(source, paths=[paths[index] for index in indices], lows=kept_lows)
        case ShardSource(members):
            return replace(source, members=[members[index] for index in indices])
        case _:
            return SubsetSource(source, indices)


def stamp(source: Source, index: int) -> str:
    """Say in which state the file of an image is, by size and time, without reading it; empty if there is none."""
    match source:
        case FolderSource(paths):
            path, place = paths[index], 0
        case ShardSource(members):
            path, place = members[index].shard, members[index].span.offset
        case _:
            return ""
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns} {place}"


def fingerprint(source: Source) -> str:
    """Return whether a source still holds the same images in the same order: a hash of their file names."""
    names = hashlib.sha256()
    for index in range(len(source)):
        names.update(Path(source.name(index)).name.encode("utf-8", "surrogateescape") + b"\n")
    return names.hexdigest()[:16]
