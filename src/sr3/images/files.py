"""Picture files: read into pixels in [-1, 1] and written back, with what travels beside the pixels.

The only module that knows a pixel range other than [-1, 1]. It knows nothing of networks or models.
Bad input always ends in an `ImageError` of one line; a picture is never read in part.
"""

import io
import stat
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sr3.atomic import whole_file
from sr3.errors import ImageError
from sr3.images.metadata import Metadata, read_metadata, saving_options, scale_colour_key, turn_upright, warn_of_losses

__all__ = [
    "MAX_INPUT_PIXELS",
    "PICTURE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Metadata",
    "Picture",
    "check_can_hold",
    "list_pictures",
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
_BITS_TAG, _PHOTOMETRIC_TAG = 258, 262  # of TIFF


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright picture.

    `pixels` is (c, h, w) float32 in [-1, 1], grey (c = 1) or RGB (c = 3), in the colour space that
    `metadata.icc` names; `alpha` is (1, h, w) float32 in [0, 1], or None where the file has none;
    `depth` is the number of bits a channel that the file holds.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    depth: Literal[8, 16, 32] = 8
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.pixels.shape[-2]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.pixels.shape[-1]


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

    16-bit grey keeps its 16 bits; 16-bit RGB arrives as 8 (Pillow holds no more), with a warning. A turn named by EXIF
    or XMP is applied and its tag taken out. CMYK becomes RGB without its ICC profile; other pixels keep theirs.
    What Pillow finds odd but readable becomes a warning that names the file.
    Raises ImageError when the file is missing, damaged, cut short, too large or of another kind.
    """
    with _named_warnings(path):
        return _read(path)


def write_picture(path: Path, picture: Picture, *, quality: int = 95) -> None:
    """Write a picture in the format that the suffix names; path is whole and new, or as it was before.

    Values are rounded and limited to the range. 16-bit grey without alpha stays 16-bit in PNG and TIFF; all
    else is written with 8 bits. `quality`, 1 to 100, is for JPEG and WebP.
    Metadata go where the format has a place for them (a TIFF takes the descriptive part of EXIF; WebP
    has no dots an inch; BMP has nothing else). A TIFF is not compressed.
    Raises ImageError when the format cannot hold the picture or the file cannot be written.
    """
    kind = check_can_hold(path, picture)
    if not 1 <= quality <= 100:
        raise _refusal(path, f"cannot have quality {quality}; use 1 to 100")
    with _named_warnings(path):
        data = _encode(path, kind, picture, quality)
    _replace(path, data)


def to_pixels(image: Image.Image) -> Tensor:
    """Turn an 8-bit RGB or L image into pixels (c, h, w), float32 in [-1, 1]; ImageError for other modes."""
    if image.mode not in ("L", "RGB"):
        raise ImageError(f"a Pillow image of mode {image.mode} is not 8-bit; convert it to L or RGB")
    array = np.array(image, ndmin=3) if image.mode == "RGB" else np.array(image)[..., None]
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div_(127.5).sub_(1)


def to_pillow(pixels: Tensor) -> Image.Image:
    """Turn pixels (c, h, w) in [-1, 1], c = 1 or 3, into an 8-bit L or RGB image, to the nearest level.

    Raises ImageError for another number of channels and for values that are not numbers.
    """
    array = _quantise(pixels, 255).astype(np.uint8)
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _quantise(pixels: Tensor, top: int) -> NDArray[np.int32]:
    """Round [-1, 1] to the integers 0 to top."""
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ImageError(f"pixels of shape {tuple(pixels.shape)} are no picture; give (1, h, w) or (3, h, w)")
    levels = ((pixels.detach().cpu().float() + 1) * (top / 2)).round().clamp(0, top)
    if levels.isnan().any():
        raise ImageError("pixels hold NaN, so the network has failed; use float32 or other weights")
    return levels.to(torch.int32).numpy()


def _one_line(path: Path, text: object) -> str:
    return " ".join(f"{path}: {text}".split())


def _refusal(path: Path, text: str) -> ImageError:
    return ImageError(_one_line(path, text))


def _read(path: Path) -> Picture:
    try:
        _check_is_file(path)
        with path.open("rb") as file, Image.open(file, formats=_READABLE) as image:
            _check_size(path, image.size)
            scale_colour_key(image)
            warn_of_losses(image)
            image.load()
            return _picture_from(path, image)
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
    if image.mode in ("I", "F"):
        raise _refusal(path, "has 32-bit pixels of unknown range; convert it to 8 or 16 bits a channel")
    is_grey = image.mode in ("1", "L", "LA", "La")
    if not image.has_transparency_data:
        return Picture(to_pixels(image.convert("L" if is_grey else "RGB")), metadata=metadata)
    image = image.convert("LA" if is_grey else "RGBA")
    alpha = torch.from_numpy(np.array(image.getchannel("A"))[None]).float().div_(255)
    return Picture(to_pixels(image.convert("L" if is_grey else "RGB")), alpha, metadata=metadata)


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
    if kind in _OPAQUE_FORMATS and picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise _refusal(path, f"cannot hold transparency, {kind} has none; use .png")
    return kind


def _encode(path: Path, kind: str, picture: Picture, quality: int) -> bytes:
    options = saving_options(picture.metadata, kind)
    if kind in ("JPEG", "WEBP"):
        options["quality"] = quality
    if kind == "JPEG":
        options["subsampling"] = "4:4:4"
    buffer = io.BytesIO()
    try:
        _to_written(picture, kind).save(buffer, format=kind, **options)
    except ImageError as error:
        raise _refusal(path, str(error)) from error
    except Exception as error:
        raise _refusal(path, f"cannot be encoded as {kind} ({error}); try .png") from error
    return buffer.getvalue()


def _to_written(picture: Picture, kind: str) -> Image.Image:
    is_plain_grey = len(picture.pixels) == 1 and picture.alpha is None
    if picture.depth == 16 and is_plain_grey and kind in ("PNG", "TIFF"):
        return Image.fromarray(_quantise(picture.pixels, 65535)[0].astype(np.uint16))
    image = to_pillow(picture.pixels)
    if picture.alpha is not None and kind not in _OPAQUE_FORMATS:
        image.putalpha(to_pillow(picture.alpha * 2 - 1))
    return image


def _replace(path: Path, data: bytes) -> None:
    """Put data where path is, all of it or none."""
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(data)
    except FileNotFoundError as error:
        raise _refusal(path, "cannot be written, its folder does not exist; create it") from error
    except OSError as error:
        raise _refusal(path, f"cannot be written ({error.strerror}); choose another place") from error
