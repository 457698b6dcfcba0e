"""Training pairs: a high-resolution picture y0 and its condition x, made on the fly.

The low-resolution image is antialiased bicubic, rounded to 8 bits like the files people have, of the whole image;
x is its bicubic enlargement. Crops are cut from both at the same place, away from border effects.
"""

import threading
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sr3.data.decoding import Pixels, decode_pixels, image_header
from sr3.data.sources import NO_LABEL, Source
from sr3.diffusion.noise import mix_seed
from sr3.errors import DataError
from sr3.images.degrade import RANDOM, Degradation, blur_reach, degrade, gaussian_blur
from sr3.images.enlarge import Precision, enlarge

__all__ = ["Augmentation", "Pair", "PairDataset", "PairRecipe", "augment", "check_headers"]

Augmentation = Literal["none", "flip", "dihedral"]

_DEGRADATION_STREAM = 5

_MARGIN = 4
"""Low-resolution pixels kept around a crop while enlarging, more than bicubic reaches."""


class PairRecipe(NamedTuple):
    """How a pair is made: settings of `sr3.config.DataConfig`, in its units."""

    scale: int
    crop: int
    augment: Augmentation
    cache_gib: float
    blur: float = 0.0
    condition_gamma: float = 1.0
    classes: int = 0
    degradation: Degradation = "bicubic"
    enlarged: Precision = "full"


class Pair(NamedTuple):
    """A picture and its condition, float32 in [-1, 1], both (c, h, w), and the low-resolution image.

    level: share of signal left in the condition, 1 when clean. label: class of the picture, if classes are asked for.
    For a scale of 1 condition and low-resolution image have no channels.
    """

    y0: Tensor
    x: Tensor
    low_res: Tensor
    level: float = 1.0
    label: int = NO_LABEL


class PairDataset:
    """Pairs of a source, decoded once and kept while they fit the cache.

    image_channels: taken from the first image; every image must agree.
    """

    def __init__(self, source: Source, recipe: PairRecipe) -> None:
        """Look at the first image to learn the channels."""
        self._source = source
        self._recipe = recipe
        self._cache: dict[int, tuple[Pixels, Tensor]] = {}
        self._room = int(recipe.cache_gib * 2**30)
        self._lock = threading.Lock()
        self.image_channels = int(decode_pixels(source.read(0), source.name(0)).values.shape[0])
        if recipe.degradation in ("jpeg", "photo") and self.image_channels not in (1, 3):
            raise DataError(
                f"{source.name(0)}: has {self.image_channels} channels, but JPEG holds 1 or 3; "
                "choose another data.degradation"
            )

    def __len__(self) -> int:
        """Count the images."""
        return len(self._source)

    def name(self, index: int) -> str:
        """Name an image for people."""
        return self._source.name(index)

    def pair(self, index: int, generator: torch.Generator) -> Pair:
        """Make a pair of a random crop, turned or mirrored at random."""
        (high, step), low = self._images(index)
        scale, label = self._recipe.scale, self._label(index)
        turn = int(torch.randint(0, 8, (), generator=generator))
        top, left, height, width = self._place(low, generator)
        y0 = _unit(high[:, top * scale : (top + height) * scale, left * scale : (left + width) * scale])
        if scale == 1:
            y0 = augment(y0, turn, self._recipe.augment).contiguous()
            return Pair(y0, y0[:0], y0[:0], label=label)
        margin = _MARGIN + blur_reach(self._recipe.blur)
        up, back = max(0, top - margin), max(0, left - margin)
        part = low[:, up : top + height + margin, back : left + width + margin]
        if self._recipe.degradation in RANDOM:
            rows = slice(up * scale, (top + height + margin) * scale)
            columns = slice(back * scale, (left + width + margin) * scale)
            part = self._reduced(Pixels(high[:, rows, columns], step), generator)
        low_res = part[:, top - up : top - up + height, left - back : left - back + width]
        seen, level = self._spoil(_unit(part), generator)
        x = enlarge(seen, scale, self._recipe.enlarged)
        row, column = (top - up) * scale, (left - back) * scale
        x = x[:, row : row + height * scale, column : column + width * scale]
        turned = (augment(image, turn, self._recipe.augment).contiguous() for image in (y0, x, _unit(low_res)))
        return Pair(*turned, level=level, label=label)

    def _place(self, low: Tensor, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Choose top, left, height and width of the part that is used, in pixels of the low-resolution image."""
        height, width = low.shape[1:]
        if self._recipe.crop == 0:
            return 0, 0, height, width
        cells = self._recipe.crop // self._recipe.scale
        top, left = (int(torch.randint(0, side - cells + 1, (), generator=generator)) for side in (height, width))
        return top, left, cells, cells

    def _spoil(self, low_res: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        """Blur the condition and add noise to it, as much as chance says; return it with its level."""
        level = 1.0
        if self._recipe.blur > 0:
            low_res = gaussian_blur(low_res, self._recipe.blur * float(torch.rand((), generator=generator)))
        if self._recipe.condition_gamma < 1:
            share = float(torch.rand((), generator=generator, dtype=torch.float64))
            level = self._recipe.condition_gamma + share * (1 - self._recipe.condition_gamma)
            noise = torch.randn(low_res.shape, generator=generator)
            low_res = level**0.5 * low_res + (1 - level) ** 0.5 * noise
        return low_res, level

    def _label(self, index: int) -> int:
        """Ask for the class of an image; DataError when it has none or one that the model does not know."""
        if not self._recipe.classes:
            return NO_LABEL
        label = self._source.label(index)
        if label == NO_LABEL:
            raise DataError(
                f"{self._source.name(index)}: has no class; give a folder a class, or shards with .cls members"
            )
        if not 0 <= label < self._recipe.classes:
            raise DataError(
                f"{self._source.name(index)}: is of class {label}, but network.classes is {self._recipe.classes}; "
                "set it to the number of classes of the data"
            )
        return label

    def centre(self, index: int, side: int) -> Pair:
        """Make the pair of the middle of an image, at most side pixels, as if it were all of it."""
        (high, step), scale = self._load(index), self._recipe.scale
        height, width = (min(length, side) // scale * scale for length in high.shape[1:])
        top, left = (high.shape[1] - height) // 2, (high.shape[2] - width) // 2
        high = high[:, top : top + height, left : left + width]
        y0, low = _unit(high), _unit(self._reduced(Pixels(high, step), torch.Generator().manual_seed(index)))
        if scale == 1:
            return Pair(y0, y0[:0], y0[:0], label=self._label(index))
        return Pair(y0, enlarge(low, scale, self._recipe.enlarged), low, label=self._label(index))

    def _images(self, index: int) -> tuple[Pixels, Tensor]:
        """Return the image and its low-resolution version, cut to multiples of the scale."""
        if index in self._cache:
            return self._cache[index]
        (high, step), scale = self._load(index), self._recipe.scale
        high = high[:, : high.shape[1] // scale * scale, : high.shape[2] // scale * scale].contiguous()
        # Of a degradation that is drawn anew for every pair, only the size is used.
        drawn, image = self._recipe.degradation in RANDOM, Pixels(high, step)
        low = high[:, ::scale, ::scale] if drawn else self._reduced(image, torch.Generator())
        with self._lock:
            size = high.nbytes + (low.nbytes if scale > 1 and not drawn else 0)
            if index not in self._cache and size <= self._room:
                self._cache[index] = image, low
                self._room -= size
        return image, low

    def _reduced(self, image: Pixels, generator: torch.Generator) -> Tensor:
        """Make the low-resolution image, of the same levels; what is random about it has a stream of its own."""
        if self._recipe.scale == 1:
            return image.values
        own = torch.Generator().manual_seed(mix_seed(generator.initial_seed(), _DEGRADATION_STREAM))
        low = degrade(image.values, self._recipe.scale, self._recipe.degradation, own)
        low = ((low / image.step).round() * image.step if image.step else low).clamp(0, 255)
        return low.byte() if image.step == 1 else low

    def _load(self, index: int) -> Pixels:
        """Decode an image; DataError when it is of another kind than the first, or too small."""
        name = self._source.name(index)
        image = decode_pixels(self._source.read(index), name)
        high = image.values
        if high.shape[0] != self.image_channels:
            raise DataError(
                f"{name}: has {high.shape[0]} channels, the first image {self.image_channels}; use one kind of image"
            )
        complaint = _misfit(high.shape[2], high.shape[1], self._recipe)
        if complaint:
            raise DataError(f"{name}: {complaint}")
        return image


def check_headers(source: Source, recipe: PairRecipe, *, most: int = 20_000) -> None:
    """Look at the headers of the first `most` images, so that a run does not meet an unusable one hours later.

    Raises DataError with the number of images that cannot be read, are too small or differ in kind, and five names.
    """
    channels = 0
    complaints: list[str] = []
    for index in range(min(len(source), most)):
        try:
            width, height, found = image_header(source.read(index), source.name(index))
        except Exception as error:  # as in decode_image
            complaints.append(f"{source.name(index)} cannot be read ({' '.join(str(error).split())})")
            continue
        channels = found if index == 0 else channels
        misfit = _misfit(width, height, recipe)
        label = source.label(index) if recipe.classes else 0
        if misfit:
            complaints.append(f"{source.name(index)} {misfit}")
        elif not 0 <= label < max(1, recipe.classes):
            complaints.append(f"{source.name(index)} has no class from 0 to {recipe.classes - 1}")
        elif found != channels:
            complaints.append(f"{source.name(index)} is {_kind(found)}, unlike the first image")
    if complaints:
        more = "; …" if len(complaints) > 5 else ""
        raise DataError(f"{len(complaints)} of {len(source)} images cannot be used: {'; '.join(complaints[:5])}{more}")


def _kind(channels: int) -> str:
    return {1: "grey", 3: "in colour"}.get(channels, f"of {channels} bands")


def _misfit(width: int, height: int, recipe: PairRecipe) -> str:
    """Say why an image of a size cannot be used, or nothing."""
    side = recipe.crop
    if recipe.scale == 1 and (width, height) != (side, side):
        return (
            f"is {width}x{height}, but a generator of side {side} learns whole pictures of {side}x{side}; make them by "
            f"sr3 prepare folder SRC OUT --size {side} --scale 1"
        )
    least = max(side, recipe.scale)
    if min(width, height) < least:
        return f"is {width}x{height}, but a side needs {least} pixels; remove it or set data.crop lower"
    return ""


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
