"""AVIF of more than 8 bits, which Pillow rounds to 8: decoded by another library.

Bit depth: AV1 Codec ISO Media File Format Binding, av1C. Pixels: imagecodecs (libavif).
"""

import io

import numpy as np
from PIL import ExifTags, Image

from sr3.errors import ImageError
from sr3.images.extras import read_colour_chunks
from sr3.images.formats import load_library
from sr3.images.metadata import COLOUR_CHUNKS, read_metadata, turn_upright
from sr3.images.picture import Picture, from_numbers, upright_planes

__all__ = ["avif_bits", "read_deep_avif", "with_colours"]

_HIGH_DEPTH, _TWELVE = 0x40, 0x20  # of the third byte of av1C


def avif_bits(data: bytes) -> int:
    """Read the bits of each channel: 8, 10 or 12."""
    place = data.find(b"av1C")
    if place < 0 or place + 6 >= len(data) or not data[place + 6] & _HIGH_DEPTH:
        return 8
    return 12 if data[place + 6] & _TWELVE else 10


def read_deep_avif(data: bytes, image: Image.Image, *, upright: bool) -> Picture:
    """Read pixels of 10 or 12 bits as 16, with the metadata and the turn of the same file opened by Pillow.

    ImageError, without a name, for a file of several images.
    """
    array = np.asarray(load_library("imagecodecs").avif_decode(data, index=0))
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise ImageError("holds a sequence of images; save one of them")
    spread = np.rint(array.astype(np.float64) * (65535 / (2 ** avif_bits(data) - 1))).astype(np.uint16)
    planes, depth = from_numbers(spread)
    if upright:
        planes = upright_planes(planes, image.getexif().get(ExifTags.Base.Orientation, 1))
        turn_upright(image)
    image.info[COLOUR_CHUNKS] = read_colour_chunks(io.BytesIO(data))
    colours = 1 if len(planes) < 3 else 3
    alpha = planes[colours:] if len(planes) > colours else None
    return Picture(planes[:colours] * 2 - 1, alpha, depth, read_metadata(image))


def with_colours(data: bytes, chunk: bytes) -> bytes:
    """Let an AVIF name the primaries and the transfer of a PNG's chunk cICP, which Pillow does not write.

    Its box of colours counts more than what the coded image says. Raises ImageError for a file without one.
    """
    before, box, rest = data.partition(b"colrnclx")
    if not box:
        raise ImageError("cannot name its colours with the installed Pillow; use .png or .heic")
    return before + box + b"".join(bytes([0, number]) for number in chunk[:2]) + rest[4:]
