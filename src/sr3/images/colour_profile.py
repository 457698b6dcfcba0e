"""ICC colour profiles: whether one means what pixels without a profile mean, or that in linear light."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["is_linear_srgb", "is_srgb"]

_COLOUR_SPACE = slice(16, 20)  # of the header of a profile
_GRID = 9
_TOLERANCE = 1
"""Levels of 255 by which rounding alone may change a colour."""


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile of grey or RGB gives every colour of a 9x9x9 grid the place that sRGB gives it."""
    return _agrees(profile, lambda levels: levels)


def is_linear_srgb(profile: bytes) -> bool:
    """Return whether a profile has the colours of sRGB in linear light, by the same grid."""
    return _agrees(profile, lambda levels: 255 * _encoded(levels / 255))


def _encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply the curve of sRGB (IEC 61966-2-1) to linear light from 0 to 1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _agrees(profile: bytes, expected: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> bool:
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
    difference = np.asarray(changed).astype(np.float64) - expected(np.asarray(image.convert("RGB")).astype(np.float64))
    return float(np.abs(difference).max()) <= _TOLERANCE
