"""Images that Pillow does not read or write losslessly: unusual TIFF, JPEG XL, HEIC, deep AVIF, raw.

Says which library has a file, and puts the file's name before what is wrong with it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import torch

from sr3.errors import ImageError
from sr3.images.avif import avif_bits, read_deep_avif
from sr3.images.colour_profile import is_linear_srgb, is_srgb
from sr3.images.encoded import Encoded, opened_image
from sr3.images.formats import Kind, kind_of, load_library
from sr3.images.heic import encode_heic, heic_size, read_heic
from sr3.images.jxl import encode_jxl, read_jxl
from sr3.images.jxl_header import read_jxl_header
from sr3.images.metadata import upright_size, warn_of_losses
from sr3.images.picture import Picture, to_floats, to_levels
from sr3.images.raw import raw_size, read_raw
from sr3.images.refusal import check_size, refusal
from sr3.images.tiff import read_tiff, tiff_size

__all__ = ["LIBRARY_FORMATS", "check_library_holds", "encode_by_library", "read_by_library", "size_by_library"]

LIBRARY_FORMATS = ("JXL", "HEIC")
"""Formats that `encode_by_library` writes."""


def size_by_library(encoded: Encoded) -> tuple[int, int] | None:
    """Read and check the size of an image that `read_by_library` reads; None for what Pillow reads."""
    return _checked_size(encoded, _kind(encoded))


def _checked_size(encoded: Encoded, kind: Kind | None) -> tuple[int, int] | None:
    if kind == "avif":
        return None  # which Pillow opens, deep or not
    with encoded.opened() as file, _named(encoded.path):
        if size := tiff_size(file) if kind is None else _size(kind, file.read()):
            check_size(encoded.path, size)
        return size


def _kind(encoded: Encoded) -> Kind | None:
    with encoded.opened() as file:
        return kind_of(file, encoded.path.suffix)


def _size(kind: Kind, data: bytes) -> tuple[int, int] | None:
    match kind:
        case "jxl":
            header = read_jxl_header(data)
            return upright_size((header.width, header.height), header.turn)
        case "heic":
            return heic_size(data)
        case "raw":
            return raw_size(data)
        case "avif":
            return None
        case _:
            assert_never(kind)


def read_by_library(encoded: Encoded, *, upright: bool) -> Picture | None:
    """Read an image, its size checked first; None for what Pillow reads whole.

    upright: whether to carry out a turn that metadata ask for; turns of JPEG XL and HEIC belong to their pixels.
    """
    kind = _kind(encoded)
    if kind == "avif":
        return _read_deep_avif(encoded, upright=upright)
    if not _checked_size(encoded, kind):
        return None
    with encoded.opened() as file, _named(encoded.path):
        match kind:
            case "jxl":
                return read_jxl(file.read())
            case "heic":
                return read_heic(file.read())
            case "raw":
                return read_raw(file.read())
            case None:
                picture, pages = read_tiff(file, upright=upright)
        warn_of_losses(pages.images, has_mask=pages.has_mask)
        return picture


def _read_deep_avif(encoded: Encoded, *, upright: bool) -> Picture | None:
    with encoded.opened() as file:
        data = file.read()
    if avif_bits(data) == 8:
        return None
    with opened_image(encoded) as image, _named(encoded.path):
        return read_deep_avif(data, image, upright=upright)


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Put the file's name before an ImageError that has none."""
    try:
        yield
    except ImageError as error:
        raise error if str(error).startswith(f"{path}: ") else refusal(path, str(error)) from error


def check_library_holds(path: Path, kind: str, picture: Picture) -> None:
    """Raise ImageError when the library of a format is missing, or it cannot hold the image's colours."""
    with _named(path):
        load_library("imagecodecs" if kind == "JXL" else "pillow_heif")
    profile = picture.metadata.icc
    is_kept = profile is None or is_srgb(profile) or (picture.depth > 8 and is_linear_srgb(profile))
    if kind == "JXL" and picture.space == "light" and not is_kept:
        text = "cannot keep the colour profile of the input: no installed library writes one into JPEG XL"
        raise refusal(path, f"{text}; use .png, .avif or .heic")


def encode_by_library(kind: str, picture: Picture, *, quality: int) -> bytes:
    """Encode as JXL or HEIC; a HEIC keeps 10 bits of 16."""
    planes = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha * 2 - 1])
    if kind == "JXL":
        numbers = to_floats(planes) if picture.depth == 32 else to_levels(planes, 255 if picture.depth == 8 else 65535)
        return encode_jxl(numbers, picture.metadata, quality=quality)
    return encode_heic(to_levels(planes, 255 if picture.depth == 8 else 65535), picture.metadata, quality=quality)
