"""Recursive listing of the files in a folder; linked folders are followed, each folder once."""

import os
from collections.abc import Iterator
from pathlib import Path

from sr3.errors import DataError

__all__ = ["files_below"]


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """List the files with these suffixes (in lower case) in a folder and below it, sorted, hidden ones left out.

    Linked folders are followed; one that leads back to a folder that was seen is not. What cannot be read is found out
    later. Raises DataError for a folder that cannot be listed.
    """
    return sorted(path for path in _walk(folder) if path.suffix.lower() in suffixes)


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_complain):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _complain(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}); fix its permissions or remove it") from error
