"""Matching of images in two folders or shards by name: the relative path without its suffix."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sr3.data.members import printable
from sr3.data.sources import FolderSource, ShardSource, Source
from sr3.errors import DataError

__all__ = ["files_of", "listed", "match", "match_samples", "names_of", "some_of"]

_SHOWN = 50
"""Maximum number of names in one message."""


def names_of(source: Source, where: str) -> dict[str, int]:
    """Map the names of a source's images to their indices, sorted; DataError when two images share a name."""
    places: dict[str, int] = {}
    for index in range(len(source)):
        name = _name(source, index)
        if name in places:
            raise DataError(
                f"{where}: {Path(source.name(places[name])).name} and {Path(source.name(index)).name} share the "
                f"name {name}; keep one of them"
            )
        places[name] = index
    return dict(sorted(places.items()))


def _name(source: Source, index: int) -> str:
    match source:
        case FolderSource(paths, root):
            path = paths[index].relative_to(root)
        case ShardSource(members):
            path = Path(members[index].name)
        case _:
            path = Path(source.name(index))
    return printable(path.with_suffix("").as_posix())


def files_of(source: Source) -> dict[str, int]:
    """Map all files of a source to their indices, sorted: by path below its folder, or by shard and member."""
    if isinstance(source, FolderSource):
        names = [path.relative_to(source.root).as_posix() for path in source.paths]
    else:
        names = [source.name(index) for index in range(len(source))]
    names = [printable(name) for name in names]
    return dict(sorted(zip(names, range(len(names)), strict=True)))


def some_of(names: Sequence[str], most: int | None, *, first: int | None) -> list[str]:
    """Select at most `most` names, spread evenly over the first `first` ones; None means all."""
    names = names[:first]
    most = len(names) if most is None else min(most, len(names))
    return [names[int((k + 0.5) * len(names) / most)] for k in range(most)]


def match(
    expected: Iterable[str], found: Mapping[str, int], where: str, *, known: Collection[str] = ()
) -> dict[str, int]:
    """Map every expected name to its index; DataError lists missing and unexpected names.

    known: names that may exist although they are not expected.
    """
    expected = list(expected)
    surplus = set(found).difference(expected, known)
    _raise_unmatched(where, [name for name in expected if name not in found], sorted(surplus))
    return {name: found[name] for name in expected}


def match_samples(
    expected: Sequence[str], found: Mapping[str, int], where: str, count: int, *, known: Collection[str] = ()
) -> dict[str, list[int]]:
    """Map every expected name to the indices of its samples: one, or `count` numbered as by `sr3 upscale --samples`.

    known: names of truths whose results may exist although they are not expected.
    """
    numbered = {name: _numbered(name, count) for name in expected}
    if count == 1 or not any(name in found for names in numbered.values() for name in names):
        return {name: [place] for name, place in match(expected, found, where, known=known).items()}
    others = {one for name in known for one in _numbered(name, count)}
    places = match([name for names in numbered.values() for name in names], found, where, known=others)
    return {name: [places[one] for one in names] for name, names in numbered.items()}


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{k + 1}" for k in range(count)]


def _raise_unmatched(where: str, missing: Sequence[str], surplus: Sequence[str]) -> None:
    if not missing and not surplus:
        return
    parts = [f"no image for {len(missing)} ({listed(missing)})"] if missing else []
    parts += [f"{len(surplus)} without a truth ({listed(surplus)})"] if surplus else []
    raise DataError(f"{where}: {'; '.join(parts)}; give each result the file name of its truth; the suffix may differ")


def listed(names: Sequence[str]) -> str:
    """Join names with commas; long lists are cut after the first names, with the number of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
