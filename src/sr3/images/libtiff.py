"""Messages of libtiff, which prints to standard error, turned into Python warnings."""

import os
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from PIL import Image

__all__ = ["load_pixels"]

_STANDARD_ERROR = 2
_MOST_LINES = 3


def load_pixels(image: Image.Image) -> None:
    """Decode an image; what libtiff complains of becomes one warning.

    Of an image that cannot be decoded the error says it, and the lines are dropped.
    """
    if image.format != "TIFF":
        image.load()
        return
    with _printed() as lines:
        image.load()
    if lines:
        more = "; and more" if len(lines) > _MOST_LINES else ""
        text = "; ".join(lines[:_MOST_LINES])
        warnings.warn(f"is perhaps damaged, libtiff says: {text}{more}", stacklevel=2)


@contextmanager
def _printed() -> Generator[list[str]]:
    """Keep what is written to the process's standard error meanwhile; the list is filled at the end."""
    lines: list[str] = []
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # a process without one
        yield lines
        return
    with tempfile.TemporaryFile() as instead:
        os.dup2(instead.fileno(), _STANDARD_ERROR)
        try:
            yield lines
        finally:
            os.dup2(kept, _STANDARD_ERROR)
            os.close(kept)
        instead.seek(0)
        lines += [line.strip() for line in instead.read(8192).decode(errors="replace").splitlines() if line.strip()]
