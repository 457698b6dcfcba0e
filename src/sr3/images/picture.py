"""One image in memory: pixels in [-1, 1] with what belongs to them, and rounding to integer levels and back.

Knows no file and no format beside Pillow's images.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sr3.errors import ImageError
from sr3.images.metadata import Metadata

__all__ = [
    "EIGHT_BITS",
    "Depth",
    "Numbers",
    "Picture",
    "from_numbers",
    "rounded",
    "to_floats",
    "to_levels",
    "to_pillow",
    "to_pixels",
    "upright_planes",
]

Depth = Literal[8, 16, 32]
"""Bits a channel of a file: whole numbers, or 32 for floats of any size."""


class Numbers(NamedTuple):
    """The numbers by which a file or an array holds black and white, and whether they are whole."""

    least: float
    most: float
    are_whole: bool

    @classmethod
    def of_depth(cls, depth: Depth) -> "Numbers":
        """Return those of a file: whole ones of 8 or 16 bits, or floats from 0 to 1."""
        return cls(0.0, 1.0, False) if depth == 32 else cls(0.0, float(2**depth - 1), True)


EIGHT_BITS = Numbers(0.0, 255.0, True)
"""Those of most files."""

_DEPTHS = {255: np.uint8, 65535: np.uint16}
_OPAQUE = 1 - 0.5 / 65535  # an enlarged 1 is rounded, and is 1 in any file


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright image.

    `pixels` is (c, h, w) float32 in [-1, 1], grey (c = 1) or RGB (c = 3), in the colour space that
    `metadata.icc` names; `alpha` is (1, h, w) float32 in [0, 1], or None where the file has none;
    `depth` is the number of bits a channel that the file holds. Where `space` is "cmyk", the four channels are
    cyan, magenta, yellow and black, 1 for no ink and -1 for all of it.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    depth: Depth = 8
    metadata: Metadata = field(default_factory=Metadata)
    space: Literal["light", "cmyk"] = "light"

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.pixels.shape[-2]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.pixels.shape[-1]

    @property
    def is_transparent(self) -> bool:
        """Whether anything shows through, by at least one of 65,536 levels."""
        return self.alpha is not None and bool((self.alpha < _OPAQUE).any())


def from_numbers(array: NDArray[Any]) -> tuple[Tensor, Depth]:
    """Turn (h, w, c) of uint8, uint16, or floats from 0 to 1 into (c, h, w) float32 from 0 to 1, and their depth.

    Raises ImageError, without a name, for other types, for floats outside that range and for NaN.
    """
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.uint8:
        depth, values = 8, array.astype(np.float32) / 255
    elif array.dtype == np.uint16:
        depth, values = 16, array.astype(np.float32) / 65535
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large for float32 is too large
            depth, values = 32, array.astype(np.float32)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise ImageError("holds floats outside 0 to 1, or NaN; scale them to that range")
    else:
        raise ImageError(f"holds {array.dtype}; give uint8, uint16, or floats from 0 to 1")
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))), depth


def upright_planes(planes: Tensor, orientation: int) -> Tensor:
    """Bring (c, h, w) upright from one of the eight orientations of TIFF and EXIF; others change nothing."""
    if orientation > 4:
        planes = planes.transpose(1, 2)
    flips = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}.get(orientation, ())
    return torch.flip(planes, flips).contiguous()


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
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ImageError(f"pixels of shape {tuple(pixels.shape)} are not an image; give (1, h, w) or (3, h, w)")
    array = to_levels(pixels, 255)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def to_levels(pixels: Tensor, top: Literal[255, 65535]) -> NDArray[np.unsignedinteger]:
    """Round pixels (c, h, w) of [-1, 1] to the levels 0 to top, (h, w, c); ImageError when they are not numbers."""
    array = np.empty((pixels.shape[1], pixels.shape[2], pixels.shape[0]), _DEPTHS[top])
    for channel, plane in enumerate(pixels.detach()):  # one by one, so that a large image needs little more memory
        levels = plane.cpu().float().add(1).mul_(top / 2).round_().clamp_(0, top)
        if levels.isnan().any():
            raise ImageError("pixels hold NaN, so the network has failed; use float32 or other weights")
        array[..., channel] = levels.numpy()
    return array


def rounded(image: Tensor, top: int) -> Tensor:
    """Clip to [-1, 1] and round to the levels of a file, 0 to top; with top 0, only clip."""
    image = image.float().clamp(-1, 1)
    return ((image + 1) * (top / 2)).round() / (top / 2) - 1 if top else image


def to_floats(pixels: Tensor) -> NDArray[np.float32]:
    """Turn pixels (c, h, w) of [-1, 1] into floats from 0 to 1, (h, w, c); ImageError when they are not numbers."""
    unit = pixels.detach().cpu().float().add(1).div_(2).clamp_(0, 1)
    if unit.isnan().any():
        raise ImageError("pixels hold NaN, so the network has failed; use float32 or other weights")
    return np.ascontiguousarray(unit.permute(1, 2, 0).numpy())
