"""Result files: samples in the format of their input, and their statistics as images."""

import os
import shutil
from pathlib import Path

from PIL import Image as PillowImage

from sr3.atomic import whole_file
from sr3.errors import ImageError
from sr3.images.bands import ARRAY_SUFFIX, BAND_SUFFIXES, write_bands
from sr3.images.files import Picture, write_picture

__all__ = ["copy_result", "holds_bands", "make_folder", "write_bytes", "write_drawing", "write_result"]


def make_folder(folder: Path) -> None:
    """Create the folder of a result; ImageError when it cannot be, or may not be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be created as a folder ({error.strerror}); give another -o") from error
    if not os.access(folder, os.W_OK):
        raise ImageError(f"{folder}: is not writable; give another -o")


def holds_bands(path: Path, picture: Picture) -> bool:
    """Return whether a result goes to a file of bands; ImageError where the file cannot hold the image."""
    suffix, count = path.suffix.lower(), len(picture.pixels)
    is_plain = count in (1, 3) or picture.space == "cmyk"
    if not is_plain and suffix not in BAND_SUFFIXES:
        raise ImageError(f"{path}: cannot hold {count} bands; use one of {', '.join(BAND_SUFFIXES)}")
    if suffix == ARRAY_SUFFIX and picture.space == "cmyk":
        raise ImageError(f"{path}: cannot say that its numbers are inks; use .tif, or .png for RGB")
    if suffix == ARRAY_SUFFIX and picture.is_transparent:
        raise ImageError(f"{path}: cannot say which of its numbers are transparency; use .png")
    return suffix == ARRAY_SUFFIX or (suffix in BAND_SUFFIXES and not is_plain)


def write_result(path: Path, picture: Picture, *, quality: int) -> None:
    """Write a result; errors as `write_bands` and `write_picture` raise them."""
    if holds_bands(path, picture):
        write_bands(path, picture)
    else:
        write_picture(path, picture, quality=quality)


def write_drawing(path: Path, image: PillowImage.Image) -> None:
    """Write a drawing as PNG; path is whole and new, or as it was before."""
    with whole_file(path) as temporary:
        image.save(temporary, "PNG")


def write_bytes(path: Path, data: bytes) -> None:
    """Write encoded bytes; path is whole and new, or as it was before."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def copy_result(source: Path, target: Path) -> None:
    """Copy a file; target is whole and new, or as it was before."""
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
