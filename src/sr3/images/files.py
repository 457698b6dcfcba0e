"""Image files: read into pixels in [-1, 1] and written back, with their metadata.

The only module that knows a pixel range other than [-1, 1]. It knows nothing of networks or models.
Bad input always ends in an `ImageError` of one line; an image is never read in part.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sr3.atomic import whole_file
from sr3.errors import ImageError
from sr3.images.avif import with_colours
from sr3.images.by_library import (
    LIBRARY_FORMATS,
    check_library_holds,
    encode_by_library,
    read_by_library,
    size_by_library,
)
from sr3.images.deep import deep_png, deep_tiff, has_deep_colour, is_deep, join_bytes, lower_bytes, read_grey16
from sr3.images.encoded import READABLE, Encoded, opened_image
from sr3.images.extras import CICP, read_colour_chunks
from sr3.images.formats import RAW_SUFFIXES
from sr3.images.inks import ink_image, to_light
from sr3.images.libtiff import load_pixels
from sr3.images.metadata import (
    COLOUR_CHUNKS,
    TURNED,
    Metadata,
    read_metadata,
    saving_options,
    scale_colour_key,
    turn_of,
    turn_upright,
    upright_size,
    warn_of_losses,
)
from sr3.images.picture import Picture, to_floats, to_levels, to_pillow, to_pixels
from sr3.images.recorded_warnings import recorded_warnings
from sr3.images.refusal import MAX_INPUT_PIXELS, named_warnings, one_line, refusal
from sr3.images.tiff import pages_of

__all__ = [
    "LOSSY_SUFFIXES",
    "MAX_INPUT_PIXELS",
    "PICTURE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Metadata",
    "Picture",
    "check_can_hold",
    "list_pictures",
    "picture_size",
    "read_encoded",
    "read_picture",
    "to_pillow",
    "to_pixels",
    "write_picture",
]

_WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
    ".jxl": "JXL",
    ".heic": "HEIC",
    ".heif": "HEIC",
}
WRITABLE_SUFFIXES = tuple(_WRITABLE)
"""Suffixes, in lower case, of the formats that `write_picture` writes."""

LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".jxl")
"""Suffixes, in lower case, of the formats that have a quality."""

PICTURE_SUFFIXES = (*WRITABLE_SUFFIXES, *RAW_SUFFIXES, ".gif", ".npy")
"""Suffixes, in lower case, of the files that `list_pictures` finds."""

_MAX_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536, "HEIC": 16384}  # of the libraries that write them
_OPAQUE_FORMATS = ("JPEG", "BMP")
_MOST_IN_TIFF = 2**32 - 2**24  # bytes of pixels; places in the file have 32 bits
_DEEP_FORMATS = ("PNG", "TIFF")
_KEPT_DEPTH = {"JXL": 32, "HEIC": 10}
_INK_FORMATS = ("JPEG", "TIFF")
_TURN_TAG = 274


def list_pictures(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name, hidden files left out.

    Other files are left out with a warning. Raises ImageError when the folder cannot be read or holds no image.
    """
    try:
        seen = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        found = [path for path in seen if path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()]
    except OSError as error:
        raise refusal(folder, f"cannot be read as a folder ({error.strerror}); check the path") from error
    if not found:
        suffixes = ", ".join(PICTURE_SUFFIXES)
        raise refusal(folder, f"holds no image ({suffixes}); name the folder that holds the images")
    if others := {path.suffix.lower() or path.name for path in seen if path.is_file()}.difference(PICTURE_SUFFIXES):
        text = f"files of other kinds are left out ({', '.join(sorted(others))})"
        warnings.warn(one_line(folder, text), stacklevel=2)
    return found


def read_picture(path: Path) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF file (its first frame), whatever its suffix.

    With the extras of their names, HEIC, JPEG XL and raw files of cameras too. 10 to 16 bits are kept as 16, in grey
    and in colour, and so are floats from 0 to 1 of a TIFF or JPEG XL. A turn is carried out once, whether the file, its
    EXIF or its XMP asks for it, and its tag taken out. CMYK stays CMYK; the ICC profile is kept.
    What Pillow finds odd but readable becomes a warning that names the file.
    Raises ImageError when the file is missing, damaged, cut short, too large or of another kind.
    """
    with named_warnings(path):
        return _read(Encoded(path), upright=True)


def read_encoded(data: bytes, name: str, *, upright: bool = True) -> Picture:
    """Read an encoded image that is in memory, as `read_picture` reads a file, with the same errors.

    upright: whether to carry out a turn named by EXIF or XMP.
    """
    with named_warnings(Path(name)):
        return _read(Encoded(Path(name), data), upright=upright)


def picture_size(path: Path) -> tuple[int, int]:
    """Read width and height as `read_picture` gives them, upright, without decoding; errors as there."""
    with recorded_warnings():
        encoded = Encoded(path)
        if size := size_by_library(encoded):
            return size
        with opened_image(encoded) as image:
            return image.size if image.format == "TIFF" else upright_size(image.size, turn_of(image))


def write_picture(path: Path, picture: Picture, *, quality: int = 95) -> None:
    """Write an image in the format that the suffix names; path is whole and new, or as it was before.

    Values are rounded and limited to the range. 16 bits are kept in PNG, TIFF and JPEG XL, floats in the last two; in
    PNG they become 16 bits, and HEIC keeps 10. CMYK is kept in JPEG and TIFF. Elsewhere they become 8 bits and sRGB,
    with a warning. `quality`, 1 to 100, is for JPEG, WebP, AVIF, HEIC and JPEG XL. Metadata go where the format has a
    place for them (a TIFF takes the descriptive part of EXIF; WebP, AVIF, HEIC and JPEG XL have no resolution; BMP has
    nothing else). A TIFF is not compressed.
    Raises ImageError when the format cannot hold the image or the file cannot be written.
    """
    kind = check_can_hold(path, picture)
    if not 1 <= quality <= 100:
        raise refusal(path, f"cannot have quality {quality}; use 1 to 100")
    with named_warnings(path):
        data = _encode(path, kind, picture, quality)
    _replace(path, data)


def _read(encoded: Encoded, *, upright: bool) -> Picture:
    if (picture := read_by_library(encoded, upright=upright)) is not None:
        return picture
    with encoded.opened() as file:
        chunks, pages = read_colour_chunks(file), pages_of(file)
    with opened_image(encoded) as image:
        if chunks:
            image.info[COLOUR_CHUNKS] = chunks
        scale_colour_key(image)
        frames = pages.images if image.format == "TIFF" else getattr(image, "n_frames", 1)
        warn_of_losses(frames, has_mask=pages.has_mask)
        deep = is_deep(image)
        if not deep and has_deep_colour(image):
            raise refusal(
                encoded.path, "has 16 bits per channel in an odd layout; save it with its channels interleaved"
            )
        image.info[TURNED] = getattr(image, "tag_v2", {}).get(_TURN_TAG, 1) != 1
        load_pixels(image)
        if upright:
            turn_upright(image)
        return _deep_picture_from(encoded, image, upright=upright) if deep else _picture_from(encoded.path, image)


def _picture_from(path: Path, image: Image.Image) -> Picture:
    metadata = read_metadata(image)
    if image.mode.startswith("I;16"):
        return read_grey16(path, image, metadata)
    if image.mode == "CMYK":
        inks = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return Picture(inks.float().div(-127.5).add_(1), metadata=metadata, space="cmyk")
    if image.mode in ("LAB", "HSV"):
        raise refusal(path, f"has {image.mode} colours; convert it to RGB")
    if image.mode in ("I", "F"):
        raise refusal(path, "has 32-bit whole numbers of unknown range; convert it to 8 or 16 bits per channel")
    is_grey = image.mode in ("1", "L", "LA", "La")
    if not image.has_transparency_data:
        return Picture(to_pixels(image.convert("L" if is_grey else "RGB")), metadata=metadata)
    image = image.convert("LA" if is_grey else "RGBA")
    alpha = torch.from_numpy(np.array(image.getchannel("A"))[None]).float().div_(255)
    return Picture(to_pixels(image.convert("L" if is_grey else "RGB")), alpha, metadata=metadata)


def _deep_picture_from(encoded: Encoded, upper: Image.Image, *, upright: bool) -> Picture:
    metadata = read_metadata(upper)
    with encoded.opened() as file, lower_bytes(file, READABLE, upright=upright) as lower:
        pixels, alpha = join_bytes(upper, lower)
    return Picture(pixels, alpha, 16, metadata, "cmyk" if upper.mode == "CMYK" else "light")


def check_can_hold(path: Path, picture: Picture) -> str:
    """Return the format that path's suffix names; ImageError when there is none or it cannot hold the image."""
    kind = _WRITABLE.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_WRITABLE)
        raise refusal(path, f"has a suffix of no format that sr3 writes; use one of {known}")
    side = max(picture.height, picture.width)
    if side > _MAX_SIDE.get(kind, side):
        raise refusal(path, f"cannot hold {side} pixels per side: {kind} allows at most {_MAX_SIDE[kind]}; use .png")
    if kind == "TIFF" and picture.depth / 8 * _numbers_in(picture) > _MOST_IN_TIFF:
        raise refusal(
            path,
            f"cannot hold {picture.width}x{picture.height} of {picture.depth} bits: TIFF allows at most 4 GiB; use "
            ".png",
        )
    if kind in _OPAQUE_FORMATS and picture.is_transparent:
        raise refusal(path, f"cannot hold transparency, {kind} has none; use .png")
    if kind in LIBRARY_FORMATS:
        check_library_holds(path, kind, picture)
    return kind


def _numbers_in(picture: Picture) -> int:
    return picture.height * picture.width * (len(picture.pixels) + (picture.alpha is not None))


def _encode(path: Path, kind: str, picture: Picture, quality: int) -> bytes:
    try:
        if picture.space == "cmyk" and kind not in _INK_FORMATS:
            picture = to_light(picture)
        options = saving_options(picture.metadata, kind)
        if picture.depth > 8 and kind in _DEEP_FORMATS:
            return _encode_deep(picture, kind, options)
        if picture.depth > (kept := _KEPT_DEPTH.get(kind, 8)):
            text = f"{kind} holds {kept} bits per channel, so the {picture.depth} are rounded"
            warnings.warn(f"{text}; .png, .tif and .jxl keep 16", stacklevel=2)
        if kind in LIBRARY_FORMATS:
            return encode_by_library(kind, picture, quality=quality)
        return _encode_8_bit(picture, kind, options, quality)
    except ImageError as error:
        raise refusal(path, str(error)) from error
    except Exception as error:
        raise refusal(path, f"cannot be encoded as {kind} ({error}); try .png") from error


def _encode_8_bit(picture: Picture, kind: str, options: dict[str, Any], quality: int) -> bytes:
    if kind in ("JPEG", "WEBP", "AVIF"):
        options["quality"] = quality
    if kind in ("JPEG", "AVIF"):
        options["subsampling"] = "4:4:4"
    image = ink_image(picture) if picture.space == "cmyk" else to_pillow(picture.pixels)
    if picture.alpha is not None and kind not in _OPAQUE_FORMATS:
        image.putalpha(to_pillow(picture.alpha * 2 - 1))
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    chunk = dict(picture.metadata.colour_chunks).get(CICP)
    if kind == "AVIF" and chunk and not picture.metadata.icc:
        return with_colours(buffer.getvalue(), chunk)
    return buffer.getvalue()


def _encode_deep(picture: Picture, kind: str, options: dict[str, Any]) -> bytes:
    if picture.space == "cmyk":
        return deep_tiff(65535 - to_levels(picture.pixels, 65535), "CMYK", options)
    planes = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha * 2 - 1])
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(planes)]
    if picture.depth == 32 and kind == "TIFF":
        return deep_tiff(to_floats(planes), mode, options)
    levels = to_levels(planes, 65535)
    return deep_png(levels, options) if kind == "PNG" else deep_tiff(levels, mode, options)


def _replace(path: Path, data: bytes) -> None:
    """Put data where path is, all of it or none."""
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(data)
    except FileNotFoundError as error:
        raise refusal(path, "cannot be written, its folder does not exist; create it") from error
    except OSError as error:
        raise refusal(path, f"cannot be written ({error.strerror}); choose another place") from error
