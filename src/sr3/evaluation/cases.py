"""Evaluation cases: true images, their low-resolution inputs and their classes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor

from sr3.data.decoding import decode_pixels
from sr3.data.sources import NO_LABEL, FolderSource, Source
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, DataError, ImageError
from sr3.evaluation.matching import match, names_of, some_of
from sr3.evaluation.settings import Settings
from sr3.images.bands import is_array, is_tiff
from sr3.images.degrade import degrade
from sr3.images.files import read_encoded
from sr3.images.picture import rounded
from sr3.images.resize import resize
from sr3.images.tiff import holds_bands
from sr3.types import Image, LowRes
from sr3.upscaling.jpeg_quality import quality_of

__all__ = ["CLASSIFICATION_SCALE", "Case", "Cases", "label_of", "open_cases", "read_image"]

CLASSIFICATION_SCALE = 4
_SEEN, _LOW, _INPUT = 224, 56, 64
"""The paper's sides in pixels: centre crop of the truth, downscaled crop, and the input it is enlarged to."""

_LEAST = 11
"""Smallest side in pixels for the window of SSIM."""

_DEGRADATION_STREAM = 5  # as for training pairs
_CLASS = re.compile(r"(\d+)_")


@dataclass(frozen=True)
class Case:
    """A truth (1, c, h, w) in [-1, 1], its input if there is one, and its class or NO_LABEL.

    top: largest value of its file format, 0 for floats.
    uncut: height and width of the truth in its file, before it was cropped to multiples of the scale.
    quality: of the JPEG file that a given input comes from, None of other inputs.
    """

    name: str
    truth: Image
    low_res: LowRes | None
    label: int
    top: int
    uncut: tuple[int, int]
    quality: float | None = None


@dataclass(frozen=True)
class Cases:
    """Truths in the order of their names, read one by one.

    places: index of every truth in the source. names: sorted names of the truths to evaluate.
    """

    source: Source
    places: Mapping[str, int]
    names: Sequence[str]
    inputs: Source | None
    input_places: Mapping[str, int]
    settings: Settings

    def __len__(self) -> int:
        """Count the truths."""
        return len(self.names)

    def label(self, name: str) -> int:
        """Look up the class of a truth, or NO_LABEL."""
        return label_of(self.source, self.places[name])

    def case(self, name: str) -> Case:
        """Read a truth and read or make its input; ImageError or DataError when they do not match."""
        index = self.places[name]
        truth, top = read_image(self.source, index)
        uncut = (truth.shape[-2], truth.shape[-1])
        low_res = quality = None
        if self.inputs is not None:
            low_res, _ = read_image(self.inputs, self.input_places[name])
            quality = quality_of(BytesIO(self.inputs.read(self.input_places[name])))
            self._check_input(low_res, self.inputs.name(self.input_places[name]))
        if self.settings.task == "classification":
            truth, low_res = _for_classification(truth, low_res, self.source.name(index), top)
        elif self.settings.scale:
            truth = _crop_to_scale(truth, self.settings.scale)
            low_res = low_res if low_res is not None else self._degraded(truth, top, name)
        truth_name = self.source.name(index)
        self._check(truth, low_res, truth_name)
        given = None if low_res is None else low_res[None]
        return Case(name, truth[None], given, self.label(name), top, uncut, quality)

    def _degraded(self, truth: Tensor, top: int, name: str) -> Tensor:
        """Degrade a truth as training pairs are degraded; DataError when JPEG does not support its channels.

        Random numbers are seeded by the name, so an input does not depend on the other truths.
        """
        kind, where = self.settings.degradation, self.source.name(self.places[name])
        assert kind != "paired", "paired inputs are given"
        if kind in ("jpeg", "photo") and len(truth) not in (1, 3):
            raise DataError(
                f"{where}: has {len(truth)} channels, but JPEG supports 1 or 3, and the model was "
                f"trained on inputs degraded by {kind}; give --input, or only grey and colour images"
            )
        generator = torch.Generator().manual_seed(mix_seed(crc32(name.encode()), _DEGRADATION_STREAM))
        levels = (truth + 1) * 127.5
        return rounded(degrade(levels, self.settings.scale, kind, generator) / 127.5 - 1, top)

    def _check_input(self, low_res: Tensor, name: str) -> None:
        """Raise ImageError when an input of the classification task has another size than the task defines."""
        height, width = low_res.shape[-2:]
        if self.settings.task == "classification" and (height, width) != (_INPUT, _INPUT):
            raise ImageError(
                f"{name}: is {width}x{height}, but inputs of the classification task are {_INPUT}x{_INPUT}: the centre "
                f"{_SEEN} pixels of the truth, resized to {_LOW} and then to {_INPUT}; give inputs of this size"
            )

    def _check(self, truth: Tensor, low_res: Tensor | None, name: str) -> None:
        height, width = truth.shape[-2:]
        if min(height, width) < _LEAST + 2 * self.settings.border:
            raise ImageError(
                f"{name}: {width}x{height} is too small; each side needs {_LEAST} pixels inside a border of "
                f"{self.settings.border}"
            )
        scale = self.settings.scale
        if low_res is None or self.settings.task == "classification":
            return
        if (low_res.shape[-2] * scale, low_res.shape[-1] * scale) != (height, width):
            size = f"{low_res.shape[-1]}x{low_res.shape[-2]}"
            raise ImageError(f"{name}: is {width}x{height}, its input {size}, not {scale} times smaller; give --scale")


def open_cases(
    source: Source,
    where: str,
    *,
    settings: Settings,
    inputs: Source | None,
    input_where: str,
    most: int | None = None,
    first: int | None = None,
) -> Cases:
    """Match truths and inputs by name; DataError lists names without a match.

    A scale of 0 is replaced by that of the first truth and its input, if there are inputs. first: use only the first
    truths by name. most: use at most this many of them, spread evenly; inputs of other truths may be missing.
    """
    places = names_of(source, where)
    names = some_of(list(places), most, first=first)
    found = {} if inputs is None else match(names, names_of(inputs, input_where), input_where, known=places)
    if inputs is not None and settings.scale == 0:
        truth, low_res = (read_image(of, at[names[0]])[0] for of, at in ((source, places), (inputs, found)))
        settings = replace(settings, scale=max(1, truth.shape[-1] // low_res.shape[-1]))
    return Cases(source, places, names, inputs, found, settings)


def read_image(source: Source, index: int) -> tuple[Tensor, int]:
    """Read an image, oriented by EXIF, as (c, h, w) in [-1, 1]; also its largest value, 0 for floats.

    Colour profiles are not applied. ImageError or DataError when it cannot be read or is partly transparent.
    """
    name, data = source.name(index), source.read(index)
    if is_array(data) or (is_tiff(data) and holds_bands(data)):
        pixels = decode_pixels(data, name)
        return pixels.values.float() / 127.5 - 1, round(255 / pixels.step) if pixels.step else 0
    picture = read_encoded(data, name)
    if picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise ImageError(f"{name}: is partly transparent, so its colours there are undefined; flatten it")
    return picture.pixels, {8: 255, 16: 65535, 32: 0}[picture.depth]


def label_of(source: Source, index: int) -> int:
    """Read the class from the .cls file of an image, else from the number before the first _ of its name."""
    if not isinstance(source, FolderSource) and (label := source.label(index)) != NO_LABEL:
        return label
    name = Path(source.name(index).rpartition(":")[2]).stem
    beside = Path(source.name(index)).with_suffix(".cls")
    if isinstance(source, FolderSource) and beside.is_file():
        text = beside.read_text(encoding="ascii", errors="replace").strip()
        if not text.isdecimal():
            raise DataError(f"{beside}: contains {text[:20]!r}, not a class index; fix or remove it")
        return int(text)
    found = _CLASS.match(name)
    return int(found[1]) if found else NO_LABEL


def _crop_to_scale(image: Tensor, scale: int) -> Tensor:
    """Crop the right and bottom edges to multiples of the scale, as is usual for test sets."""
    height, width = (side // scale * scale for side in image.shape[-2:])
    if min(height, width) == 0:
        raise ConfigError(
            f"an image of {image.shape[-1]}x{image.shape[-2]} is smaller than the scale {scale}; give larger images"
        )
    return image[:, :height, :width]


def _for_classification(truth: Tensor, low_res: Tensor | None, name: str, top: int) -> tuple[Tensor, Tensor]:
    """Take the centre 224 pixels as truth; downscaled to 56 and enlarged to 64 pixels, they are the input."""
    height, width = truth.shape[-2:]
    if min(height, width) < _SEEN:
        raise ImageError(
            f"{name}: {width}x{height} is too small; the classification task needs {_SEEN} pixels per side"
        )
    top_row, left = (height - _SEEN) // 2, (width - _SEEN) // 2
    truth = truth[:, top_row : top_row + _SEEN, left : left + _SEEN]
    if low_res is None:
        low_res = rounded(resize(rounded(resize(truth, _LOW, _LOW), top), _INPUT, _INPUT), top)
    return truth, low_res
