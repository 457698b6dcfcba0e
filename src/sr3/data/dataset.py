"""Training pairs: a high-resolution picture y0 and its condition x, made on the fly.

The low-resolution image is antialiased bicubic, rounded to 8 bits like the files people have, of the whole image;
x is its bicubic enlargement. Crops are cut from both at the same place, away from border effects.
"""

import io
import threading
from typing import Literal, NamedTuple

import torch
from PIL import Image as PillowImage
from torch import Tensor

from sr3.data.sources import Source
from sr3.errors import DataError
from sr3.images.resize import downsample, upsample

__all__ = ["Augmentation", "Pair", "PairDataset", "PairRecipe", "augment", "check_headers"]

Augmentation = Literal["none", "flip", "dihedral"]

_GREY_MODES = ("1", "L", "LA")

_MARGIN = 4
"""Low-resolution pixels kept around a crop while enlarging, more than bicubic reaches."""


class PairRecipe(NamedTuple):
    """How a pair is made: settings of `sr3.config.DataConfig`, in its units."""

    scale: int
    crop: int
    augment: Augmentation
    cache_gib: float


class Pair(NamedTuple):
    """A picture and its condition, float32 in [-1, 1], both (c, h, w), and the low-resolution image."""

    y0: Tensor
    x: Tensor
    low_res: Tensor


class PairDataset:
    """Pairs of a source, decoded once and kept while they fit the cache.

    image_channels: 1 or 3, taken from the first image; every image must agree.
    """

    def __init__(self, source: Source, recipe: PairRecipe) -> None:
        """Look at the first image to learn the channels."""
        self._source = source
        self._recipe = recipe
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        self._room = int(recipe.cache_gib * 2**30)
        self._lock = threading.Lock()
        self.image_channels = int(_decode(source, 0).shape[0])

    def __len__(self) -> int:
        """Count the images."""
        return len(self._source)

    def name(self, index: int) -> str:
        """Name an image for people."""
        return self._source.name(index)

    def pair(self, index: int, generator: torch.Generator) -> Pair:
        """Make a pair of a random crop, turned or mirrored at random."""
        high, low = self._images(index)
        turn = int(torch.randint(0, 8, (), generator=generator))
        pair = (
            _whole_pair(high, low, self._recipe.scale) if self._recipe.crop == 0 else self._crop(high, low, generator)
        )
        return Pair(*(augment(image, turn, self._recipe.augment).contiguous() for image in pair))

    def _crop(self, high: Tensor, low: Tensor, generator: torch.Generator) -> Pair:
        crop, scale = self._recipe.crop, self._recipe.scale
        cells = crop // scale
        top, left = (
            int(torch.randint(0, side - cells + 1, (), generator=generator)) for side in (low.shape[1], low.shape[2])
        )
        y0 = high[:, top * scale : top * scale + crop, left * scale : left * scale + crop]
        low_res = low[:, top : top + cells, left : left + cells]
        return Pair(_unit(y0), _enlarged(low, top, left, cells, scale), _unit(low_res))

    def centre(self, index: int, side: int) -> Pair:
        """Make the pair of the middle of an image, at most side pixels, as if it were all of it."""
        high, scale = self._load(index), self._recipe.scale
        height, width = (min(length, side) // scale * scale for length in high.shape[1:])
        top, left = (high.shape[1] - height) // 2, (high.shape[2] - width) // 2
        high = high[:, top : top + height, left : left + width]
        return _whole_pair(high, _reduced(high, scale), scale)

    def _images(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the image and its low-resolution version, uint8, cut to multiples of the scale."""
        if index in self._cache:
            return self._cache[index]
        high, scale = self._load(index), self._recipe.scale
        high = high[:, : high.shape[1] // scale * scale, : high.shape[2] // scale * scale].contiguous()
        low = _reduced(high, scale)
        with self._lock:
            size = high.numel() + low.numel()
            if index not in self._cache and size <= self._room:
                self._cache[index] = high, low
                self._room -= size
        return high, low

    def _load(self, index: int) -> Tensor:
        """Decode an image; DataError when it is of another kind than the first, or too small."""
        high, name = _decode(self._source, index), self._source.name(index)
        if high.shape[0] != self.image_channels:
            raise DataError(
                f"{name}: has {high.shape[0]} channels, the first image {self.image_channels}; use one kind of image"
            )
        least = max(self._recipe.crop, self._recipe.scale)
        if min(high.shape[1:]) < least:
            raise DataError(
                f"{name}: is {high.shape[2]}x{high.shape[1]}, but a side needs {least} pixels; "
                "remove it or set data.crop lower"
            )
        return high


def check_headers(source: Source, recipe: PairRecipe, *, most: int = 20_000) -> None:
    """Look at the headers of the first `most` images, so that a run does not meet an unusable one hours later.

    Raises DataError with the number of images that cannot be read, are too small or differ in kind, and five names.
    """
    least, grey = max(recipe.crop, recipe.scale), False
    complaints: list[str] = []
    for index in range(min(len(source), most)):
        try:
            with PillowImage.open(io.BytesIO(source.read(index))) as image:
                size, is_grey = image.size, image.mode in _GREY_MODES
        except Exception as error:  # as in _decode
            complaints.append(f"{source.name(index)} cannot be read ({' '.join(str(error).split())})")
            continue
        grey = is_grey if index == 0 else grey
        if min(size) < least:
            complaints.append(f"{source.name(index)} is {size[0]}x{size[1]}, but a side needs {least} pixels")
        elif is_grey != grey:
            complaints.append(f"{source.name(index)} is {'grey' if is_grey else 'in colour'}, unlike the first image")
    if complaints:
        more = "; …" if len(complaints) > 5 else ""
        raise DataError(f"{len(complaints)} of {len(source)} images cannot be used: {'; '.join(complaints[:5])}{more}")


def augment(image: Tensor, turn: int, kind: Augmentation) -> Tensor:
    """Apply one of the eight symmetries of a square to (c, h, w): `flip` uses only left and right."""
    if kind == "none":
        return image
    if turn & 1:
        image = image.flip(-1)
    if kind == "flip":
        return image
    if turn & 2:
        image = image.flip(-2)
    return image.transpose(-1, -2) if turn & 4 else image


def _unit(image: Tensor) -> Tensor:
    return image.float() / 127.5 - 1


def _reduced(high: Tensor, scale: int) -> Tensor:
    """Make the low-resolution image, uint8: antialiased bicubic, rounded like the files people have."""
    return downsample(high.float(), scale).round().clamp(0, 255).byte()


def _whole_pair(high: Tensor, low: Tensor, scale: int) -> Pair:
    return Pair(_unit(high), upsample(_unit(low), scale), _unit(low))


def _enlarged(low: Tensor, top: int, left: int, cells: int, scale: int) -> Tensor:
    """Enlarge a crop of the low-resolution image as if the whole had been enlarged."""
    up, back = max(0, top - _MARGIN), max(0, left - _MARGIN)
    part = low[:, up : top + cells + _MARGIN, back : left + cells + _MARGIN]
    x = upsample(_unit(part), scale)
    row, column = (top - up) * scale, (left - back) * scale
    return x[:, row : row + cells * scale, column : column + cells * scale]


def _plain(image: PillowImage.Image, name: str) -> PillowImage.Image:
    """Turn a decoded image into 8-bit grey or RGB; DataError where that would lose or invent something."""
    if image.mode not in ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise DataError(f"{name}: has pixels of kind {image.mode}, not 8-bit grey or colour; convert or remove it")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        raise DataError(f"{name}: is partly transparent, its hidden colours cannot be learnt; flatten or remove it")
    return image.convert("L" if image.mode in _GREY_MODES else "RGB")


def _decode(source: Source, index: int) -> Tensor:
    """Decode an image to uint8 (c, h, w), grey or RGB."""
    try:
        with PillowImage.open(io.BytesIO(source.read(index))) as image:
            image.load()
            image = _plain(image, source.name(index))
            pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            return pixels.reshape(image.height, image.width, -1).permute(2, 0, 1)
    except DataError:
        raise
    except Exception as error:
        # Pillow's plugins let damaged data surface as almost any exception.
        raise DataError(f"{source.name(index)}: cannot be decoded ({error}); remove or replace it") from error
