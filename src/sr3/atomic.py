"""Atomic file writes: a file appears whole or not at all."""

import os
import secrets
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["remove_leftovers", "whole_file"]

_MARK = ".sr3-"
_TOKEN = 8  # bytes
_LONG_AGO = 24 * 3600  # seconds


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Return a temporary path beside `path`; on leaving in order it takes its place, otherwise it is removed.

    The bytes are on the disk before the name changes. OSError, with the name of `path`, when the folder is missing,
    full or not writable.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    with _temporary_beside(path) as temporary:
        try:
            mode = temporary.stat().st_mode  # as the user's files are; some writers make their own
            yield temporary
            temporary.chmod(mode)
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            if error.errno is not None and (error.filename is None or Path(str(error.filename)) == temporary):
                error.filename = str(path)  # a full disk names no file, and nobody knows the temporary one
            raise
        finally:
            with suppress(OSError):
                temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder; others may be writing there."""
    paths: list[Path] = []
    with suppress(OSError):
        paths += folder.glob(_MARK + 2 * _TOKEN * "[0-9a-f]" + "*")
    for path in paths:
        with suppress(OSError):
            _remove_if_left(path)


@contextmanager
def _temporary_beside(path: Path) -> Generator[Path]:
    """Create an empty file, and hold it until the end, which comes with the end of the process, too."""
    while True:
        temporary = path.with_name(f"{_MARK}{secrets.token_hex(_TOKEN)}{path.suffix}")
        temporary.touch(exist_ok=False)
        if (held := _hold(temporary)) is not None:
            break
    with held:
        yield temporary


def _hold(path: Path) -> AbstractContextManager[object] | None:
    """Lock a file; None when it was taken for a leftover before that."""
    if sys.platform == "win32":
        return nullcontext()
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with suppress(OSError):  # there are file systems without locks, where leftovers stay
        fcntl.flock(file, fcntl.LOCK_EX)
    if os.fstat(file.fileno()).st_nlink:
        return file
    file.close()
    return None


def _remove_if_left(path: Path) -> None:
    """Remove a temporary file that nobody holds; OSError where one does, or where it cannot be known."""
    if sys.platform == "win32":
        if time.time() - path.stat().st_mtime > _LONG_AGO:
            path.unlink()
        return
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
