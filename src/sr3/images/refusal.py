"""Errors of image files as one line that begins with the name. Knows no format."""

import stat
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sr3.errors import ImageError
from sr3.images.recorded_warnings import recorded_warnings

__all__ = ["MAX_INPUT_PIXELS", "check_size", "explaining", "named_warnings", "one_line", "refusal", "refusing"]

MAX_INPUT_PIXELS = 2**27
"""Width times height above which a file is refused before it is decoded."""


def one_line(path: Path, text: object) -> str:
    """Put the name before a text, all on one line."""
    return " ".join(f"{path}: {text}".split())


def refusal(path: Path, text: str) -> ImageError:
    """Create the error that says what is wrong with a file."""
    return ImageError(one_line(path, text))


@contextmanager
def refusing(path: Path) -> Generator[None]:
    """Check that there is a file; what goes wrong inside becomes an ImageError."""
    with explaining(path):
        _check_is_file(path)
        yield


@contextmanager
def explaining(path: Path) -> Generator[None]:
    """Turn what goes wrong with an image of this name into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise refusal(path, f"holds more than {MAX_INPUT_PIXELS} pixels; crop or shrink it") from error
    except UnidentifiedImageError as error:
        text = (
            "is not an image Pillow can read; give an undamaged PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, HEIC or JPEG XL"
        )
        raise refusal(path, text) from error
    except FileNotFoundError as error:
        raise refusal(path, "does not exist; check the path") from error
    except PermissionError as error:
        raise refusal(path, "cannot be read (permission denied); change its permissions") from error
    except MemoryError as error:
        raise refusal(path, "does not fit in memory; crop or shrink it") from error
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception.
        raise refusal(path, f"is damaged or cut short ({error}); copy or download it again") from error


@contextmanager
def named_warnings(path: Path) -> Generator[None]:
    """Put the file's name before each warning; size is not warned of, for `check_size` decides it."""
    with recorded_warnings() as caught:
        yield
    for warning in caught:
        if not isinstance(warning, Image.DecompressionBombWarning):
            warnings.warn(one_line(path, warning), stacklevel=4)


def _check_is_file(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise refusal(path, "is a folder; name an image in it")
    if not stat.S_ISREG(status.st_mode):
        raise refusal(path, "is a device or a pipe; save the image to a file first")
    if status.st_size == 0:
        raise refusal(path, "is empty; copy or download it again")


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Raise ImageError when an image of this width and height is too large to be decoded."""
    width, height = size
    if width * height > MAX_INPUT_PIXELS:
        limit = f"and at most {MAX_INPUT_PIXELS} are read"
        raise refusal(path, f"holds {width} x {height} pixels, {limit}; crop or shrink it")
