"""Raw files of cameras, developed by LibRaw: white balance of the camera, sRGB, 16 bits, upright."""

import io
import warnings

import numpy as np
from PIL import Image

from sr3.images.formats import load_library
from sr3.images.metadata import Metadata, read_metadata
from sr3.images.picture import Picture, from_numbers
from sr3.images.tiff_tags import descriptive_exif

__all__ = ["raw_size", "read_raw"]

_SRGB_CURVE = (2.4, 12.92)
_QUARTER_TURNS = (5, 6)
"""To the left and to the right, as LibRaw counts turns."""


def raw_size(data: bytes) -> tuple[int, int]:
    """Read width and height, upright, without developing."""
    with load_library("rawpy").imread(io.BytesIO(data)) as raw:
        sides = raw.sizes.iwidth, raw.sizes.iheight
        return sides[::-1] if raw.sizes.flip in _QUARTER_TURNS else sides


def read_raw(data: bytes) -> Picture:
    """Develop a raw file into sRGB of 16 bits, with a warning that says so; LibRaw's complaint where it is damaged.

    Brightness is left as exposed: nothing is stretched to the brightest pixel.
    """
    rawpy = load_library("rawpy")
    with rawpy.imread(io.BytesIO(data)) as raw:
        array = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,
            gamma=_SRGB_CURVE,
        )
    warnings.warn("a raw file is developed with the camera's white balance into sRGB of 16 bits", stacklevel=2)
    planes, depth = from_numbers(np.asarray(array))
    return Picture(planes * 2 - 1, None, depth, _read_metadata(data))


def _read_metadata(data: bytes) -> Metadata:
    """Take EXIF where the file is built like a TIFF, as most are; nothing elsewhere."""
    exif, stand_in = Image.Exif(), Image.new("L", (1, 1))
    try:
        exif.load(data)
        stand_in.info["exif"] = descriptive_exif(exif).tobytes()
    except Exception:
        # A raw file need not be a TIFF, and Pillow's EXIF parser lets that surface as almost any exception.
        return Metadata()
    return read_metadata(stand_in)
