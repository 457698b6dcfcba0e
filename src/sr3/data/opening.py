"""From a `--data` argument to training images: folders, shards, patterns, URLs, pipes, Hub data sets.

What lies on this machine is listed once and read at random. What comes over a network, or through a pipe, is a stream.
"""

import glob
import tarfile
from collections.abc import Sequence
from pathlib import Path

from sr3.data.folders import files_below
from sr3.data.members import (
    SUFFIXES,
    CheckedHeader,
    check_member,
    class_number,
    is_class,
    is_low,
    is_picture,
    key_of,
)
from sr3.data.sources import NO_LABEL, FolderSource, Member, ShardSource, Source, Span
from sr3.data.streams import Stream, TarStream
from sr3.errors import DataError

__all__ = ["PIPE", "open_source", "open_supply", "pair_up"]

PIPE = "pipe:"
"""Before a shell command that writes a shard to its standard output."""
HUB = "hf:"
"""Before the name of a data set of the Hugging Face Hub, or a folder that its library reads."""

_SHOWN = 5


def open_supply(where: str, *, low_res: Path | None = None, stream: bool = False, scale: int = 1) -> Source | Stream:
    """Open whatever a user names. Raises DataError when nothing is there, or when a shard is damaged.

    where: as for `open_source`; or a pattern of shards with braces, `s3://bucket/{000..099}.tar`; an address that
    fsspec knows; `pipe:COMMAND`; `hf:NAME`. stream: read shards of this machine in order too, not at random.
    low_res: a folder of low-resolution versions for a folder of images, for a scale.
    """
    if where.startswith(HUB) and not where.startswith("hf://"):
        from sr3.data.hub import open_hub

        supply = open_hub(where.removeprefix(HUB))
    elif where.startswith(PIPE) or "://" in where:
        supply = TarStream(_expanded(where))
    elif stream:
        supply = TarStream([str(shard) for shard in _local_shards(where)])
    else:
        supply = open_source(where)
    return supply if low_res is None else with_low_res(supply, low_res, scale=scale)


def with_low_res(supply: Source | Stream, low_res: Path, *, scale: int) -> FolderSource:
    """Put low-resolution versions beside the images of a folder, as `pair_up`; DataError for what is no folder."""
    if not isinstance(supply, FolderSource):
        raise DataError(
            f"--low-res {low_res}: is only for a folder of images; shards hold low-resolution versions as members "
            "with .lr. in their names: leave --low-res out and set data.degradation=paired"
        )
    return pair_up(supply, low_res, scale=scale)


def _expanded(pattern: str) -> list[str]:
    """Expand the braces of a pattern; DataError without the package for it, or when they do not match."""
    if "{" not in pattern:
        return [pattern]
    try:
        import braceexpand
    except ImportError as error:
        raise DataError(f"{pattern}: braces need the package braceexpand: pip install 'sr3[train]'") from error
    try:
        return list(braceexpand.braceexpand(pattern))
    except ValueError as error:
        raise DataError(f"{pattern}: its braces do not match; write {{000..099}} or {{a,b}}") from error


def open_source(where: str) -> Source:
    """Open a folder of images (searched below), a folder of .tar shards, one shard, or a pattern of shards.

    Raises DataError when nothing is there, or when a shard is damaged.
    """
    path = Path(where)
    if path.is_dir():
        files = [file for file in files_below(path, SUFFIXES) if file.is_file()]
        if files and _shards_in(path):
            raise DataError(f"{where}: holds both .tar shards and images; give a folder with one kind")
        if files:
            below = {parts[0] for file in files if len(parts := file.relative_to(path).parts) > 1}
            return FolderSource(files, path, sorted(below))
    members = [member for shard in _local_shards(where) for member in _index(shard)]
    if not members:
        raise DataError(f"{where}: the shards hold no images ({', '.join(SUFFIXES)})")
    return ShardSource(members)


def _local_shards(where: str) -> list[Path]:
    path = Path(where)
    if path.is_dir():
        shards = _shards_in(path)
        if not shards:
            raise DataError(f"{where}: no images ({', '.join(SUFFIXES)}) and no .tar shards in this folder")
        return shards
    patterns = [where] if path.exists() else _expanded(where)
    shards = [Path(match) for pattern in patterns for match in sorted(glob.glob(pattern))]
    missing = [pattern for pattern in patterns if not glob.glob(pattern)]
    if not shards or (missing and len(patterns) > 1):
        raise DataError(f"{missing[0] if shards else where}: there is no such file or folder; check the path")
    return shards


def _shards_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.tar") if _is_visible_file(path, folder))


def _is_visible_file(path: Path, below: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(below).parts)


def pair_up(source: FolderSource, low_res: Path, *, scale: int) -> FolderSource:
    """Find the low-resolution version of every image: the same path without its suffix, or with x and the scale.

    Raises DataError that names what has no partner, on either side.
    """
    if not low_res.is_dir():
        raise DataError(f"{low_res}: is not a folder; give the one with the low-resolution images")
    found = [file for file in files_below(low_res, SUFFIXES) if file.is_file()]
    lows: dict[str, Path] = {}
    for path in found:
        stem = str(path.relative_to(low_res).with_suffix(""))
        if stem in lows:
            raise DataError(f"{path}: has the same name as {lows[stem]} up to its suffix; remove one of them")
        lows[stem] = path
    stems = [str(path.relative_to(source.root).with_suffix("")) for path in source.paths]
    partners = [lows.get(stem, lows.get(f"{stem}x{scale}")) for stem in stems]
    alone = [str(path) for path, partner in zip(source.paths, partners, strict=True) if partner is None]
    used = {path for path in partners if path is not None}
    left = [str(path) for path in found if path not in used]
    if alone or left:
        raise DataError(
            f"{source.root} and {low_res}: {_listed(alone, 'without a low-resolution version')}; "
            f"{_listed(left, 'without a large one')}; names must be equal up to the suffix (or end in x{scale})"
        )
    twice = [stem for stem in set(stems) if stems.count(stem) > 1] if len(set(stems)) < len(stems) else []
    if twice:
        raise DataError(f"{source.root}: has more than one {twice[0]} up to the suffix; remove one of them")
    return FolderSource(source.paths, source.root, source.classes, [path for path in partners if path is not None])


def _listed(names: Sequence[str], what: str) -> str:
    if not names:
        return f"none {what}"
    more = ", …" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"


def _index(shard: Path) -> list[Member]:
    try:
        with tarfile.open(shard, "r:", tarinfo=CheckedHeader) as tar:
            entries = [entry for entry in tar if entry.isfile()]
            for entry in entries:
                check_member(entry)
            labels = {key_of(entry.name): _class_of(tar, entry) for entry in entries if is_class(entry.name)}
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{shard}: not a readable uncompressed tar shard ({error}); check it with `tar tf`") from error
    pictures = [entry for entry in entries if is_picture(entry.name)]
    lows = {key_of(entry.name): Span(entry.offset_data, entry.size) for entry in pictures if is_low(entry.name)}
    members: list[Member] = []
    for entry in pictures:
        if not is_low(entry.name):
            key = key_of(entry.name)
            span = Span(entry.offset_data, entry.size)
            members.append(Member(shard, entry.name, span, labels.get(key, NO_LABEL), lows.get(key)))
    return members


def _class_of(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> int:
    file = tar.extractfile(entry)
    return class_number(file.read(32) if file else b"", f"{tar.name!s}:{entry.name}")
