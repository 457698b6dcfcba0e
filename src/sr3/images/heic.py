"""HEIC: pixels of 8 and more bits, with colour profile, EXIF and XMP, by pillow-heif.

libheif turns the image itself, as the file's own properties say, and pillow-heif sets the turn of EXIF to none: so it
is not turned here again. Format: ISO/IEC 23008-12.
"""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sr3.images.extras import CICP, nclx_chunks
from sr3.images.formats import load_library
from sr3.images.metadata import COLOUR_CHUNKS, Metadata, read_metadata, turn_upright, warn_of_losses
from sr3.images.picture import Picture

__all__ = ["encode_heic", "heic_size", "read_heic"]

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_LOSSLESS = 100
_NCLX = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
_BT601 = 6
"""Matrix between RGB and the channels that are stored, as without `nclx` (ITU-T H.273)."""


def heic_size(data: bytes) -> tuple[int, int]:
    """Read width and height, upright, without decoding."""
    return load_library("pillow_heif").open_heif(io.BytesIO(data)).size


def read_heic(data: bytes) -> Picture:
    """Read the primary image of a HEIC file; more than 8 bits become 16. What is damaged raises what libheif says."""
    file = load_library("pillow_heif").open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    image = file[file.primary_index]
    warn_of_losses(len(file))
    mode, depth = (image.mode[:-3], 16) if image.mode.endswith(";16") else (image.mode, 8)
    array = np.asarray(image)
    planes = torch.from_numpy(array.astype(np.float32) / (2**depth - 1))
    planes = planes[None] if planes.ndim == 2 else planes.permute(2, 0, 1)
    colours = 1 if mode in ("L", "LA") else 3
    alpha = planes[colours:].contiguous() if len(planes) > colours else None
    return Picture(planes[:colours].contiguous() * 2 - 1, alpha, depth, _read_metadata(image.info))


def _read_metadata(info: dict[str, Any]) -> Metadata:
    stand_in = Image.new("L", (1, 1))
    stand_in.info.update({name: info[name] for name in ("icc_profile", "exif", "xmp") if info.get(name)})
    if nclx := info.get("nclx_profile"):
        colours = nclx["color_primaries"], nclx["transfer_characteristics"]
        stand_in.info[COLOUR_CHUNKS] = nclx_chunks(*(int(number) for number in colours))
    turn_upright(stand_in)
    return read_metadata(stand_in)


def encode_heic(levels: NDArray[Any], metadata: Metadata, *, quality: int) -> bytes:
    """Encode (h, w, c) of uint8, or of uint16 of which 10 bits are kept; c: grey or RGB, with alpha or without.

    quality: 1 to 100; 100 is lossless but for the change of colour space.
    """
    mode = _MODES[levels.shape[2]] + (";16" if levels.dtype == np.uint16 else "")
    height, width = levels.shape[:2]
    file = load_library("pillow_heif").from_bytes(mode, (width, height), np.ascontiguousarray(levels).tobytes())
    buffer, colours = io.BytesIO(), dict(metadata.colour_chunks).get(CICP)
    nclx = dict(zip(_NCLX, (*colours[:2], _BT601, 1), strict=True)) if colours and not metadata.icc else {}
    file.save(
        buffer,
        quality=-1 if quality == _LOSSLESS else quality,
        chroma=444,
        icc_profile=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        **nclx,
    )
    return buffer.getvalue()
