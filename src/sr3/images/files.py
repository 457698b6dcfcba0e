"""Picture files: read into pixels in [-1, 1] and written back, with what travels beside the pixels.

The only module that knows a pixel range other than [-1, 1]. It knows nothing of networks or models.
Bad input always ends in an `ImageError` of one line; a picture is never read in part.
"""

import io
import stat
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from sr3.atomic import whole_file
from sr3.errors import ImageError
from sr3.images.deep import deep_png, deep_tiff, has_deep_colour, is_deep, join_bytes, lower_bytes
from sr3.images.inks import ink_image, to_light
from sr3.images.metadata import Metadata, read_metadata, saving_options, scale_colour_key, turn_upright, warn_of_losses
from sr3.images.picture import Picture, to_levels, to_pillow, to_pixels

__all__ = [
    "MAX_INPUT_PIXELS",
    "PICTURE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Metadata",
    "Picture",
    "check_can_hold",
    "list_pictures",
    "picture_size",
    "read_picture",
    "to_pillow",
    "to_pixels",
    "write_picture",
]

MAX_INPUT_PIXELS = 2**27
"""Width times height above which a file is refused before it is decoded."""

_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
WRITABLE_SUFFIXES = tuple(_WRITABLE)
"""Suffixes, in lower case, of the formats that `write_picture` writes."""

PICTURE_SUFFIXES = (*WRITABLE_SUFFIXES, ".gif", ".npy")
"""Suffixes, in lower case, of the files that `list_pictures` finds."""

_MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}  # of libjpeg and libwebp
_OPAQUE_FORMATS = ("JPEG", "BMP")
_DEEP_FORMATS = ("PNG", "TIFF")
_INK_FORMATS = ("JPEG", "TIFF")
_BITS_TAG, _PHOTOMETRIC_TAG = 258, 262  # of TIFF


def list_pictures(folder: Path) -> list[Path]:
    """List the picture files directly in a folder, sorted by name, hidden files left out.

    Other files are left out with a warning. Raises ImageError when the folder cannot be read or holds no picture.
    """
    try:
        seen = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        found = [path for path in seen if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    except OSError as error:
        raise _refusal(folder, f"cannot be read as a folder ({error.strerror}); check the path") from error
    if not found:
        suffixes = ", ".join(PICTURE_SUFFIXES)
        raise _refusal(folder, f"holds no picture ({suffixes}); name the folder that holds the pictures")
    if others := {path.suffix.lower() or path.name for path in seen if path.is_file()}.difference(PICTURE_SUFFIXES):
        text = f"files of other kinds are left out ({', '.join(sorted(others))})"
        warnings.warn(_one_line(folder, text), stacklevel=2)
    return found


def read_picture(path: Path) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP or GIF file (its first frame), whatever its suffix.

    16 bits are kept, in grey and in colour. A turn named by EXIF or XMP is applied and its tag taken out. CMYK stays
    CMYK; the ICC profile is kept.
    What Pillow finds odd but readable becomes a warning that names the file.
    Raises ImageError when the file is missing, damaged, cut short, too large or of another kind.
    """
    with _named_warnings(path):
        return _read(path)


def picture_size(path: Path) -> tuple[int, int]:
    """Read width and height, before any turn, without decoding; errors as for `read_picture`."""
    with warnings.catch_warnings(action="ignore"), _opened(path) as image:
        return image.size


def write_picture(path: Path, picture: Picture, *, quality: int = 95) -> None:
    """Write a picture in the format that the suffix names; path is whole and new, or as it was before.

    Values are rounded and limited to the range. 16 bits are kept in PNG and TIFF, and floats become 16 bits there; CMYK
    is kept in JPEG and TIFF. Elsewhere they become 8 bits and sRGB, with a warning. `quality`, 1 to 100, is for JPEG
    and WebP. Metadata go where the format has a place for them (a TIFF takes the descriptive part of EXIF; WebP has no
    dots an inch; BMP has nothing else). A TIFF is not compressed.
    Raises ImageError when the format cannot hold the picture or the file cannot be written.
    """
    kind = check_can_hold(path, picture)
    if not 1 <= quality <= 100:
        raise _refusal(path, f"cannot have quality {quality}; use 1 to 100")
    with _named_warnings(path):
        data = _encode(path, kind, picture, quality)
    _replace(path, data)


def _one_line(path: Path, text: object) -> str:
    return " ".join(f"{path}: {text}".split())


def _refusal(path: Path, text: str) -> ImageError:
    return ImageError(_one_line(path, text))


def _read(path: Path) -> Picture:
    with _opened(path) as image:
        scale_colour_key(image)
        warn_of_losses(image)
        deep = is_deep(image)
        if not deep and has_deep_colour(image):
            raise _refusal(path, "has 16 bits a channel in an odd layout; save it with its channels interleaved")
        image.load()
        return _deep_picture_from(path, image) if deep else _picture_from(path, image)


@contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    """Open a picture, its size checked and its pixels not yet decoded; what goes wrong inside becomes an ImageError."""
    try:
        _check_is_file(path)
        with path.open("rb") as file, Image.open(file, formats=_READABLE) as image:
            _check_size(path, image.size)
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _refusal(path, f"holds more than {MAX_INPUT_PIXELS} pixels; crop or shrink it") from error
    except UnidentifiedImageError as error:
        text = "is not a picture Pillow can read; give an undamaged PNG, JPEG, WebP, TIFF, BMP or GIF"
        raise _refusal(path, text) from error
    except FileNotFoundError as error:
        raise _refusal(path, "does not exist; check the path") from error
    except PermissionError as error:
        raise _refusal(path, "may not be read by you; change its permissions") from error
    except MemoryError as error:
        raise _refusal(path, "does not fit in memory; crop or shrink it") from error
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception.
        raise _refusal(path, f"is damaged or cut short ({error}); copy or download it again") from error


@contextmanager
def _named_warnings(path: Path) -> Generator[None]:
    """Put the file's name before each warning; size is not warned of, for `_check_size` decides it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if not issubclass(warning.category, Image.DecompressionBombWarning):
            warnings.warn(_one_line(path, warning.message), stacklevel=4)


def _check_is_file(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _refusal(path, "is a folder; name a picture in it")
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(path, "is a device or a pipe; save the picture to a file first")
    if status.st_size == 0:
        raise _refusal(path, "is empty; copy or download it again")


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_INPUT_PIXELS:
        limit = f"{MAX_INPUT_PIXELS} is the most that is read"
        raise _refusal(path, f"holds {width} x {height} pixels, {limit}; crop or shrink it")


def _picture_from(path: Path, image: Image.Image) -> Picture:
    turn_upright(image)
    metadata = read_metadata(image)
    if image.mode.startswith("I;16"):
        return _grey16(path, image, metadata)
    if image.mode == "CMYK":
        inks = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return Picture(inks.float().div(-127.5).add_(1), metadata=metadata, space="cmyk")
    if image.mode in ("LAB", "HSV"):
        raise _refusal(path, f"has {image.mode} colours; convert it to RGB")
    if image.mode in ("I", "F"):
        raise _refusal(path, "has 32-bit pixels of unknown range; convert it to 8 or 16 bits a channel")
    is_grey = image.mode in ("1", "L", "LA", "La")
    if not image.has_transparency_data:
        return Picture(to_pixels(image.convert("L" if is_grey else "RGB")), metadata=metadata)
    image = image.convert("LA" if is_grey else "RGBA")
    alpha = torch.from_numpy(np.array(image.getchannel("A"))[None]).float().div_(255)
    return Picture(to_pixels(image.convert("L" if is_grey else "RGB")), alpha, metadata=metadata)


def _deep_picture_from(path: Path, upper: Image.Image) -> Picture:
    turn_upright(upper)
    metadata = read_metadata(upper)
    with path.open("rb") as file, lower_bytes(file, _READABLE) as lower:
        pixels, alpha = join_bytes(upper, lower)
    return Picture(pixels, alpha, 16, metadata, "cmyk" if upper.mode == "CMYK" else "light")


def _grey16(path: Path, image: Image.Image, metadata: Metadata) -> Picture:
    tags = getattr(image, "tag_v2", {})
    if tags.get(_BITS_TAG, (16,)) != (16,) or tags.get(_PHOTOMETRIC_TAG, 1) == 0:
        raise _refusal(path, "is 12-bit or inverted grey, which Pillow reads wrongly; convert it to PNG")
    values = torch.from_numpy(np.asarray(image).astype(np.int32))[None]
    key = image.info.get("transparency")
    alpha = None if key is None else (values != key).float()
    return Picture(values.float().div_(32767.5).sub_(1), alpha, 16, metadata)


def check_can_hold(path: Path, picture: Picture) -> str:
    """Return the format that path's suffix names; ImageError when there is none or it cannot hold the picture."""
    kind = _WRITABLE.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_WRITABLE)
        raise _refusal(path, f"has a suffix that names no format to write; use one of {known}")
    side = max(picture.height, picture.width)
    if side > _MAX_SIDE.get(kind, side):
        raise _refusal(path, f"cannot hold {side} pixels a side, {kind} ends at {_MAX_SIDE[kind]}; use .png")
    if kind in _OPAQUE_FORMATS and picture.is_transparent:
        raise _refusal(path, f"cannot hold transparency, {kind} has none; use .png")
    return kind


def _encode(path: Path, kind: str, picture: Picture, quality: int) -> bytes:
    try:
        if picture.space == "cmyk" and kind not in _INK_FORMATS:
            picture = to_light(picture)
        options = saving_options(picture.metadata, kind)
        if picture.depth > 8 and kind in _DEEP_FORMATS:
            return _encode_deep(picture, kind, options)
        if picture.depth > 8:
            text = f"{kind} holds 8 bits a channel, so the {picture.depth} are rounded"
            warnings.warn(f"{text}; .png and .tif keep 16", stacklevel=2)
        return _encode_8_bit(picture, kind, options, quality)
    except ImageError as error:
        raise _refusal(path, str(error)) from error
    except Exception as error:
        raise _refusal(path, f"cannot be encoded as {kind} ({error}); try .png") from error


def _encode_8_bit(picture: Picture, kind: str, options: dict[str, Any], quality: int) -> bytes:
    if kind in ("JPEG", "WEBP"):
        options["quality"] = quality
    if kind == "JPEG":
        options["subsampling"] = "4:4:4"
    image = ink_image(picture) if picture.space == "cmyk" else to_pillow(picture.pixels)
    if picture.alpha is not None and kind not in _OPAQUE_FORMATS:
        image.putalpha(to_pillow(picture.alpha * 2 - 1))
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _encode_deep(picture: Picture, kind: str, options: dict[str, Any]) -> bytes:
    levels = to_levels(picture.pixels, 65535)
    if picture.space == "cmyk":
        return deep_tiff(65535 - levels, "CMYK", options)
    if picture.alpha is not None:
        levels = np.concatenate([levels, to_levels(picture.alpha * 2 - 1, 65535)], axis=2)
    if kind == "PNG":
        return deep_png(levels, options)
    if levels.shape[2] == 1:
        buffer = io.BytesIO()
        Image.fromarray(levels[..., 0]).save(buffer, "TIFF", **options)
        return buffer.getvalue()
    return deep_tiff(levels, {2: "LA", 3: "RGB", 4: "RGBA"}[levels.shape[2]], options)


def _replace(path: Path, data: bytes) -> None:
    """Put data where path is, all of it or none."""
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(data)
    except FileNotFoundError as error:
        raise _refusal(path, "cannot be written, its folder does not exist; create it") from error
    except OSError as error:
        raise _refusal(path, f"cannot be written ({error.strerror}); choose another place") from error
