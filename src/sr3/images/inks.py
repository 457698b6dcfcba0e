"""CMYK to RGB by its colour profile, for formats without CMYK."""

import io
import warnings
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from sr3.images.picture import Picture, to_levels, to_pixels

__all__ = ["ink_image", "to_light"]


def ink_image(picture: Picture) -> Image.Image:
    """Turn an image in CMYK into Pillow's image of 8 bits."""
    return Image.fromarray(255 - to_levels(picture.pixels, 255).astype(np.uint8), "CMYK")


def to_light(picture: Picture) -> Picture:
    """Convert an image in CMYK to RGB with 8 bits: to sRGB by its profile, or by plain arithmetic, with a warning."""
    image, profile = ink_image(picture), picture.metadata.icc
    try:
        if profile is None:
            raise ValueError("there is no profile")
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        light = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb, outputMode="RGB")
        assert light is not None
        metadata = replace(picture.metadata, icc=srgb.tobytes())
        warnings.warn("CMYK is converted to sRGB by its profile; .jpg and .tif files keep it", stacklevel=2)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        light, metadata = image.convert("RGB"), replace(picture.metadata, icc=None)
        text = f"CMYK is converted to RGB without a profile ({error}), so colours are approximate"
        warnings.warn(f"{text}; .jpg and .tif files keep it", stacklevel=2)
    return Picture(to_pixels(light), metadata=metadata)
