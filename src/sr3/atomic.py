"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["remove_leftovers", "whole_file"]

_MARK = ".sr3-"


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Give a temporary path beside `path`; on leaving in order it takes its place, otherwise it is removed.

    The bytes are on the disk before the name changes. OSError when the folder is missing, full or not writable.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    temporary = path.with_name(f"{_MARK}{secrets.token_hex(8)}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode  # as the user's files are; some writers make their own
        yield temporary
        temporary.chmod(mode)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in a folder; nobody else may be writing there."""
    for path in folder.glob(f"{_MARK}*"):
        with suppress(OSError):
            path.unlink()
