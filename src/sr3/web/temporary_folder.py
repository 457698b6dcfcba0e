"""The folder of a server's files: removed when the server ends, or by the next one when it was killed."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["remove_abandoned", "temporary_folder"]

_PREFIX = "sr3-web-"
_LOCK = "lock"
_LONG_AGO = 24 * 3600  # seconds


@contextmanager
def temporary_folder() -> Generator[Path]:
    """Make a folder that only this user can read, and remove it with all it holds at the end."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = (folder / _LOCK).open("wb")
    try:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the folders of servers of this user that were killed; a running server holds a lock on its own."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):
            if not folder.is_symlink() and folder.is_dir() and _is_own(folder) and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    return sys.platform == "win32" or folder.stat().st_uid == os.getuid()


def _is_abandoned(folder: Path) -> bool:
    if sys.platform == "win32":
        return time.time() - folder.stat().st_mtime > _LONG_AGO
    try:
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:  # of a server that starts at this moment, or that was killed at such a moment
        return time.time() - folder.stat().st_mtime > 60
