"""Training pairs made on the fly: a high-resolution image y0 and its condition x.

The low-resolution image is antialiased bicubic, rounded to 8 bits like the files people have, of the whole image;
x is its bicubic enlargement. Crops are cut from both at the same place, away from border effects.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sr3.config import DataConfig
from sr3.data.decoding import Pixels, decode_pixels
from sr3.data.sources import NO_LABEL, Encoded
from sr3.diffusion.noise import mix_seed
from sr3.errors import UnusableError
from sr3.images.degrade import blur_reach, degrade, gaussian_blur
from sr3.images.enlarge import enlarge

__all__ = [
    "MARGIN",
    "Augmentation",
    "Pair",
    "PairMaker",
    "PairRecipe",
    "Prepared",
    "augment",
    "misfit",
    "unit",
]

Augmentation = Literal["none", "flip", "dihedral"]

_DEGRADATION_STREAM = 5

MARGIN = 4
"""Low-resolution pixels kept around a crop while enlarging, more than bicubic reaches."""


class PairRecipe(NamedTuple):
    """How a pair is made: the settings of the data, and what the network asks of it.

    classes: of the network; above 0 asks for labels. conditional: whether it sees a condition; a generator does not.
    condition_channels: of a low-resolution image that is given; 0 for as many as the image has.
    """

    data: DataConfig = DataConfig()
    classes: int = 0
    conditional: bool = True
    condition_channels: int = 0


class Pair(NamedTuple):
    """An image and its condition, float32 in [-1, 1], both (c, h, w), and the low-resolution image.

    level: share of signal left in the condition, 1 when clean. label: class of the image, if classes are asked for.
    Of a generator, condition and low-resolution image have no channels.
    """

    y0: Tensor
    x: Tensor
    low_res: Tensor
    level: float = 1.0
    label: int = NO_LABEL


class Prepared(NamedTuple):
    """A decoded image and its low-resolution version, of the same levels, both cut to fit the scale; its class.

    Of a low-resolution version that is drawn anew for every pair, only the size is used.
    """

    high: Pixels
    low: Tensor
    label: int = NO_LABEL

    @property
    def nbytes(self) -> int:
        """Bytes it holds; a low-resolution image that is a view of the other holds none."""
        high, low = self.high.values, self.low
        own = low.untyped_storage().data_ptr() != high.untyped_storage().data_ptr()
        return high.nbytes + (low.nbytes if own else 0)


class PairMaker:
    """Makes pairs from encoded images of one kind.

    image_channels: of every image.
    """

    def __init__(self, recipe: PairRecipe, image_channels: int) -> None:
        """Keep the recipe."""
        self.recipe, self.image_channels = recipe, image_channels

    def prepare(self, image: Encoded) -> Prepared:
        """Decode an image; UnusableError when it is damaged, of another kind than the first, or too small."""
        (high, step), scale = self._decode(image), self.recipe.data.scale
        high = high[:, : high.shape[1] // scale * scale, : high.shape[2] // scale * scale].contiguous()
        if self.recipe.data.degradation == "paired":
            low = self._given(image, high)
        else:
            low = high[:, ::scale, ::scale] if self.recipe.data.is_random else self._reduced(Pixels(high, step))
        return Prepared(Pixels(high, step), low, self._label(image))

    def pair(self, image: Prepared, generator: torch.Generator) -> Pair:
        """Create a pair of a random crop, turned or mirrored at random."""
        (high, step), low, label = image
        scale = self.recipe.data.scale
        turn = int(torch.randint(0, 8, (), generator=generator))
        top, left, height, width = self._place(low, generator)
        y0 = unit(high[:, top * scale : (top + height) * scale, left * scale : (left + width) * scale])
        if not self.recipe.conditional:
            y0 = augment(y0, turn, self.recipe.data.augment).contiguous()
            return Pair(y0, y0[:0], y0[:0], label=label)
        margin = MARGIN + blur_reach(self.recipe.data.blur)
        up, back = max(0, top - margin), max(0, left - margin)
        part = low[:, up : top + height + margin, back : left + width + margin]
        if self.recipe.data.is_random:
            rows = slice(up * scale, (top + height + margin) * scale)
            columns = slice(back * scale, (left + width + margin) * scale)
            part = self._reduced(Pixels(high[:, rows, columns], step), generator)
        low_res = part[:, top - up : top - up + height, left - back : left - back + width]
        seen, level = self._spoil(unit(part), generator)
        x = enlarge(seen, scale, self.recipe.data.enlarged)
        row, column = (top - up) * scale, (left - back) * scale
        x = x[:, row : row + height * scale, column : column + width * scale]
        turned = (augment(image, turn, self.recipe.data.augment).contiguous() for image in (y0, x, unit(low_res)))
        return Pair(*turned, level=level, label=label)

    def centre(self, image: Encoded, side: int, *, seed: int) -> Pair:
        """Create the pair of the middle of an image, at most side pixels, as if it were all of it.

        seed: of what is random about making the image small.
        """
        (high, step), scale, label = self._decode(image), self.recipe.data.scale, self._label(image)
        height, width = (min(length, side) // scale * scale for length in high.shape[1:])
        top, left = (high.shape[1] - height) // 2, (high.shape[2] - width) // 2
        if self.recipe.data.degradation == "paired":
            top, left = top // scale, left // scale
            given = self._given(image, high)
            low = unit(given[:, top : top + height // scale, left : left + width // scale])
            top, left = top * scale, left * scale
            high = high[:, top : top + height, left : left + width]
        else:
            high = high[:, top : top + height, left : left + width]
            low = unit(self._reduced(Pixels(high, step), torch.Generator().manual_seed(seed)))
        y0 = unit(high)
        if not self.recipe.conditional:
            return Pair(y0, y0[:0], y0[:0], label=label)
        return Pair(y0, enlarge(low, scale, self.recipe.data.enlarged), low, label=label)

    def _place(self, low: Tensor, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Choose top, left, height and width of the part that is used, in pixels of the low-resolution image."""
        height, width = low.shape[1:]
        if self.recipe.data.crop == 0:
            return 0, 0, height, width
        cells = self.recipe.data.crop // self.recipe.data.scale
        top, left = (int(torch.randint(0, side - cells + 1, (), generator=generator)) for side in (height, width))
        return top, left, cells, cells

    def _spoil(self, low_res: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        """Blur the condition and add noise to it, as much as chance says; return it with its level."""
        level = 1.0
        if self.recipe.data.blur > 0:
            low_res = gaussian_blur(low_res, self.recipe.data.blur * float(torch.rand((), generator=generator)))
        if self.recipe.data.condition_gamma < 1:
            share = float(torch.rand((), generator=generator, dtype=torch.float64))
            level = self.recipe.data.condition_gamma + share * (1 - self.recipe.data.condition_gamma)
            noise = torch.randn(low_res.shape, generator=generator)
            low_res = level**0.5 * low_res + (1 - level) ** 0.5 * noise
        return low_res, level

    def _label(self, image: Encoded) -> int:
        """Ask for the class of an image; UnusableError when it has none or one that the model does not know."""
        if not self.recipe.classes:
            return NO_LABEL
        if image.label == NO_LABEL:
            raise UnusableError(f"{image.name}: has no class; give one folder per class, or shards with .cls members")
        if not 0 <= image.label < self.recipe.classes:
            raise UnusableError(
                f"{image.name}: is of class {image.label}, but network.classes is {self.recipe.classes}; "
                "set it to the number of classes of the data"
            )
        return image.label

    def _reduced(self, image: Pixels, generator: torch.Generator | None = None) -> Tensor:
        """Create the low-resolution image, of the same levels; what is random about it has a stream of its own."""
        how = self.recipe.data.degradation
        if not self.recipe.conditional or how == "paired":
            return image.values
        drawn = torch.Generator() if generator is None else generator
        own = torch.Generator().manual_seed(mix_seed(drawn.initial_seed(), _DEGRADATION_STREAM))
        low = degrade(image.values, self.recipe.data.scale, how, own)
        low = ((low / image.step).round() * image.step if image.step else low).clamp(0, 255)
        return low.byte() if image.step == 1 else low

    def _given(self, image: Encoded, high: Tensor) -> Tensor:
        """Decode the low-resolution image that comes with another; UnusableError when the two do not fit."""
        if image.low is None:
            raise UnusableError(
                f"{image.name}: has no low-resolution version; give a folder of them by --low-res, or shards with "
                ".lr. members, or choose another data.degradation"
            )
        low, scale = (
            decode_pixels(image.low, f"the low-resolution version of {image.name}").values,
            self.recipe.data.scale,
        )
        expected = (self.recipe.condition_channels or high.shape[0], high.shape[1] // scale, high.shape[2] // scale)
        if tuple(low.shape) != expected:
            raise UnusableError(
                f"{image.name}: its low-resolution version is {low.shape[2]}x{low.shape[1]} with {low.shape[0]} "
                f"channels, not {expected[2]}x{expected[1]} with {expected[0]}; check data.scale, or remove both"
            )
        return low

    def _decode(self, image: Encoded) -> Pixels:
        found = decode_pixels(image.data, image.name)
        if found.values.shape[0] != self.image_channels:
            raise UnusableError(
                f"{image.name}: has {found.values.shape[0]} channels, the first image {self.image_channels}; "
                "use one kind of image"
            )
        complaint = misfit(found.values.shape[2], found.values.shape[1], self.recipe)
        if complaint:
            raise UnusableError(f"{image.name}: {complaint}")
        return found


def misfit(width: int, height: int, recipe: PairRecipe) -> str:
    """Describe why an image of a size cannot be used, or nothing."""
    side = recipe.data.crop
    if not recipe.conditional and (width, height) != (side, side):
        return (
            f"is {width}x{height}, but a generator of side {side} learns whole images of {side}x{side}; make them by "
            f"sr3 prepare folder SRC OUT --size {side} --scale 1"
        )
    least = max(side, recipe.data.scale)
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


def unit(image: Tensor) -> Tensor:
    """Take values of 0 .. 255 to [-1, 1]."""
    return image.float() / 127.5 - 1
