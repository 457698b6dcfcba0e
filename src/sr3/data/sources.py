"""Where training images come from: a folder of pictures, or tar shards with one member an image (WebDataset).

A source is a list of encoded files with names, read at random, so that every epoch is one full shuffle.
It knows no pixels.
"""

import glob
import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from sr3.errors import DataError
from sr3.images.files import WRITABLE_SUFFIXES

__all__ = [
    "LOW_RES",
    "NO_LABEL",
    "FolderSource",
    "ShardSource",
    "Source",
    "SubsetSource",
    "fingerprint",
    "narrowed",
    "open_source",
    "stamp",
]

LOW_RES = ".lr."
"""In the name of a shard's member: the low-resolution version of its neighbour, not an image of its own."""

NO_LABEL = -1
"""Label of an image that has no class."""

SUFFIXES = (*WRITABLE_SUFFIXES, ".npy")
"""Files that are taken for training images."""


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
        """Give the class of an image, or NO_LABEL."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """Pictures below a folder, in the order of their paths.

    A picture's class is the place of its first folder below the root among `classes`, which are in order.
    """

    paths: Sequence[Path]
    root: Path = Path()
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    def name(self, index: int) -> str:
        """Give the path."""
        return str(self.paths[index])

    def read(self, index: int) -> bytes:
        """Read the file; DataError when it has gone."""
        try:
            return self.paths[index].read_bytes()
        except OSError as error:
            raise DataError(f"{self.paths[index]}: cannot be read ({error.strerror}); restore it and resume") from error

    def label(self, index: int) -> int:
        """Look the first folder up among the classes."""
        parts = self.paths[index].relative_to(self.root).parts
        return self.classes.index(parts[0]) if len(parts) > 1 else NO_LABEL


class Member(NamedTuple):
    """Place of an image inside a shard."""

    shard: Path
    name: str
    offset: int
    size: int
    label: int = NO_LABEL


@dataclass(frozen=True)
class ShardSource:
    """Images inside uncompressed tar files, indexed once and then read at random."""

    members: Sequence[Member]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.members)

    def name(self, index: int) -> str:
        """Give shard and member."""
        return f"{self.members[index].shard}:{self.members[index].name}"

    def read(self, index: int) -> bytes:
        """Read one member; DataError when the shard has gone or shrunk."""
        member = self.members[index]
        try:
            with member.shard.open("rb") as file:
                file.seek(member.offset)
                data = file.read(member.size)
        except OSError as error:
            raise DataError(f"{member.shard}: cannot be read ({error.strerror}); restore it and resume") from error
        if len(data) < member.size:
            raise DataError(f"{self.name(index)}: the shard has become shorter; restore it and resume")
        return data

    def label(self, index: int) -> int:
        """Give the number in the member's neighbour with the suffix .cls."""
        return self.members[index].label


@dataclass(frozen=True)
class SubsetSource:
    """Some images of another source."""

    whole: Source
    indices: Sequence[int]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.indices)

    def name(self, index: int) -> str:
        """Give the name in the other source."""
        return self.whole.name(self.indices[index])

    def read(self, index: int) -> bytes:
        """Read from the other source."""
        return self.whole.read(self.indices[index])

    def label(self, index: int) -> int:
        """Give the class in the other source."""
        return self.whole.label(self.indices[index])


def narrowed(source: Source, indices: Sequence[int]) -> Source:
    """Take some images of a source and forget the others, so that another process can be handed just these."""
    match source:
        case FolderSource(paths):
            return replace(source, paths=[paths[index] for index in indices])
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
            path, place = members[index].shard, members[index].offset
        case _:
            return ""
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns} {place}"


def open_source(where: str) -> Source:
    """Open a folder of pictures (searched below), a folder of .tar shards, one shard, or a glob of shards.

    Raises DataError when nothing is there, or when a shard is damaged.
    """
    path = Path(where)
    if path.is_dir():
        shards = sorted(p for p in path.glob("*.tar") if _is_visible_file(p, path))
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and _is_visible_file(p, path))
        if shards and files:
            raise DataError(f"{where}: holds both .tar shards and pictures; give a folder with one kind")
        if files:
            below = {parts[0] for file in files if len(parts := file.relative_to(path).parts) > 1}
            return FolderSource(files, path, sorted(below))
    else:
        shards = sorted(Path(match) for match in glob.glob(where))
        if not shards:
            raise DataError(f"{where}: there is no such file or folder")
    if not shards:
        raise DataError(f"{where}: no pictures ({', '.join(SUFFIXES)}) and no .tar shards in this folder")
    members = [member for shard in shards for member in _index(shard)]
    if not members:
        raise DataError(f"{where}: the shards hold no pictures ({', '.join(SUFFIXES)})")
    return ShardSource(members)


def _is_visible_file(path: Path, below: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(below).parts)


def fingerprint(source: Source) -> str:
    """Tell whether a source still holds the same images in the same order: a hash of their file names."""
    names = hashlib.sha256()
    for index in range(len(source)):
        names.update(Path(source.name(index)).name.encode("utf-8", "surrogateescape") + b"\n")
    return names.hexdigest()[:16]


def _index(shard: Path) -> list[Member]:
    try:
        with tarfile.open(shard, "r:") as tar:
            entries = [entry for entry in tar if entry.isfile()]
            labels = {_key(entry.name): _number(tar, entry) for entry in entries if entry.name.endswith(".cls")}
        return [
            Member(shard, entry.name, entry.offset_data, entry.size, labels.get(_key(entry.name), NO_LABEL))
            for entry in entries
            if Path(entry.name).suffix.lower() in SUFFIXES and LOW_RES not in entry.name.rpartition("/")[2]
        ]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard}: not a readable uncompressed tar shard ({error}); check it with `tar tf`") from error


def _key(name: str) -> str:
    """Name a sample as WebDataset does: the path up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _number(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> int:
    file = tar.extractfile(entry)
    text = file.read(32).decode("ascii", "replace").strip() if file else ""
    if not text.isdecimal():
        raise DataError(f"{tar.name!s}:{entry.name}: holds {text!r}, not the number of a class; prepare the data again")
    return int(text)
