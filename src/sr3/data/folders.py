"""Recursive listing of the files in a folder; linked folders are followed, each folder once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sr3.errors import DataError

__all__ = ["files_below"]


def _complain(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}); fix its permissions or remove it") from error


def files_below(
    folder: Path, suffixes: tuple[str, ...], *, on_error: Callable[[OSError], None] = _complain
) -> list[Path]:
    """List the files with these suffixes (in lower case) in a folder and below it, sorted, hidden ones left out.

    Linked folders are followed; one that leads back to a folder that was seen is not. Files that cannot be read are
    found out later. on_error: called for a folder that cannot be listed, which raises DataError unless it is given.
    """
    return sorted(path for path in _walk(folder, on_error) if path.suffix.lower() in suffixes)


def _walk(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in files if not name.startswith("."))
