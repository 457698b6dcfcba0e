"""The images of a study: matched by name, checked at the start, encoded without a trace of their origin.

Both images of a pair are RGB PNGs with the same size in pixels and in bytes, without metadata or names. This module
does not depend on subjects.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageCms

from sr3.data.members import printable
from sr3.errors import StudyError
from sr3.images.files import list_pictures, read_picture, to_pillow
from sr3.images.inks import ink_image
from sr3.study.settings import StudyConfig

__all__ = ["PictureSet", "open_pictures"]

_COARSE = 12
"""Squares along the shorter side of the pixelated image in an attention check."""
_SHOWN = 5


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class PictureSet:
    """Files of a study by image name, the file name without its suffix."""

    truth: Mapping[str, Path]
    methods: Mapping[str, Mapping[str, Path]]
    inputs: Mapping[str, Path]
    sizes: Mapping[str, Size]
    low_res: Literal["smooth", "pixels"]
    sha256: str
    """Hash of all names and files."""

    @property
    def images(self) -> list[str]:
        """Sorted names of the images."""
        return sorted(self.truth)

    def pair(self, image: str, method: str | None) -> tuple[bytes, bytes]:
        """Encode the photograph and the image beside it, with equal numbers of bytes; method None: attention check."""
        return _pair(self.truth[image], None if method is None else self.methods[method][image])

    def middle(self, image: str) -> bytes:
        """Encode the low-resolution image, enlarged to the size of the others."""
        return _enlarged(self.inputs[image], self.sizes[image], self.low_res)


def open_pictures(config: StudyConfig) -> PictureSet:
    """Find all images of a study and read each once.

    Raises StudyError when names or sizes do not match, and ImageError for an image that cannot be read.
    """
    truth = _by_name(config.pictures.truth)
    methods = {name: _by_name(folder) for name, folder in config.methods.items()}
    folder = config.pictures.inputs
    inputs = {} if folder is None or "better" not in config.questions else _by_name(folder)
    others = [(config.methods[name], files) for name, files in methods.items()]
    if folder is not None and inputs:
        others.append((folder, inputs))
    for place, files in others:
        _check_names(config.pictures.truth, truth, place, files)
    sizes = {image: _size(path) for image, path in sorted(truth.items())}
    for files in methods.values():
        _check_sizes(truth, sizes, files)
    for image, path in sorted(inputs.items()):
        _check_input(path, _size(path), truth[image], sizes[image])
    sha256 = _hash([truth, *(methods[name] for name in sorted(methods)), inputs])
    return PictureSet(truth, methods, inputs, sizes, config.pictures.low_res, sha256)


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_pictures(folder):
        name = printable(path.stem)
        if name in found:
            raise StudyError(f"{path}: {found[name].name} has the same name; keep one of them")
        found[name] = path
    return found


def _check_names(place: Path, truth: Mapping[str, Path], other: Path, files: Mapping[str, Path]) -> None:
    complaints = [
        f"{folder} lacks {_some(lacking)}"
        for folder, lacking in ((other, truth.keys() - files.keys()), (place, files.keys() - truth.keys()))
        if lacking
    ]
    if complaints:
        raise StudyError(f"{', and '.join(complaints)}; give each image the same name in all folders of the study")


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _check_sizes(truth: Mapping[str, Path], sizes: Mapping[str, Size], files: Mapping[str, Path]) -> None:
    for image, path in sorted(files.items()):
        if (size := _size(path)) != sizes[image]:
            raise StudyError(f"{path}: is {_text(size)}, but {truth[image]} is {_text(sizes[image])}; make them equal")


def _check_input(path: Path, size: Size, truth: Path, true: Size) -> None:
    """Raise StudyError for an input that is not a downscaled truth: too large, rotated, or another crop."""
    if max(size) >= max(true):
        raise StudyError(f"{path}: is not smaller than {truth}; give the low-resolution images")
    scale = max(true) / max(size)
    if abs(size.width * scale - true.width) > scale or abs(size.height * scale - true.height) > scale:
        raise StudyError(f"{path}: is {_text(size)}, but {truth} is {_text(true)}; give the same crop, downscaled")


def _size(path: Path) -> Size:
    return Size(*_shown(path).size)


def _hash(folders: Sequence[Mapping[str, Path]]) -> str:
    whole = hashlib.sha256()
    for files in folders:
        for image, path in sorted(files.items()):
            for part in (image.encode(), path.read_bytes()):
                whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def _text(size: Size) -> str:
    return f"{size.width}x{size.height}"


def _shown(path: Path) -> Image.Image:
    """Read an image as 8-bit sRGB."""
    picture = read_picture(path)
    if picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise StudyError(f"{path}: is partly transparent, so the page would show through; flatten it")
    is_ink = picture.space == "cmyk"
    if picture.metadata.icc is None and is_ink:
        raise StudyError(f"{path}: is CMYK without a colour profile, so its colours are undefined; convert it to sRGB")
    image = ink_image(picture) if is_ink else to_pillow(picture.pixels)
    if picture.metadata.icc is None:
        return image.convert("RGB")
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(picture.metadata.icc))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise StudyError(f"{path}: its colour profile cannot be used ({error}); convert it to sRGB") from error
    assert converted is not None
    return converted


@lru_cache(maxsize=32)
def _pair(truth: Path, other: Path | None) -> tuple[bytes, bytes]:
    image = _shown(truth)
    return _png(image), _png(_coarse(image) if other is None else _shown(other))


@lru_cache(maxsize=32)
def _enlarged(path: Path, size: Size, low_res: Literal["smooth", "pixels"]) -> bytes:
    kind = Image.Resampling.BICUBIC if low_res == "smooth" else Image.Resampling.NEAREST
    return _png(_shown(path).resize(size, kind))


def _coarse(image: Image.Image) -> Image.Image:
    share = _COARSE / min(image.size)
    small = image.resize(
        (max(2, round(image.width * share)), max(2, round(image.height * share))), Image.Resampling.BOX
    )
    return small.resize(image.size, Image.Resampling.NEAREST)


def _png(image: Image.Image) -> bytes:
    """Encode a PNG without compression, so that its length depends on the size only, not on the content."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
