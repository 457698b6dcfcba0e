"""ICC colour profiles: whether one means what pixels without a profile mean."""

import io

import numpy as np
from PIL import Image, ImageCms

__all__ = ["is_srgb"]

_COLOUR_SPACE = slice(16, 20)  # of the header of a profile
_GRID = 9
_TOLERANCE = 1
"""Levels of 255 by which rounding alone may change a colour."""


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile of grey or RGB gives every colour of a 9x9x9 grid the place that sRGB gives it."""
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "L" if profile[_COLOUR_SPACE] == b"GRAY" else "RGB"
        steps = np.linspace(0, 255, _GRID).round().astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(_GRID, -1, 3)
        image = Image.fromarray(np.repeat(steps[:, None], _GRID, 1) if mode == "L" else colours)
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        changed = ImageCms.profileToProfile(image, parsed, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    assert changed is not None
    difference = np.asarray(changed).astype(int) - np.asarray(image.convert("RGB")).astype(int)
    return int(np.abs(difference).max()) <= _TOLERANCE
