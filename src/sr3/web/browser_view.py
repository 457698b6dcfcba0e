"""Images as a browser can show them: 8 bits, sRGB, upright, PNG or WebP."""

import io
import threading
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageCms

from sr3.images.colour_profile import is_srgb
from sr3.images.files import read_picture
from sr3.images.inks import to_light
from sr3.images.picture import Picture, to_pillow
from sr3.images.recorded_warnings import recorded_warnings
from sr3.images.resize import resize

__all__ = ["enlarged_png", "shown_image", "view_png", "webp"]

_ONE_AT_A_TIME = threading.Lock()
"""Held while a whole image is decoded for a browser, so that many requests need the memory of one."""


def shown_image(picture: Picture) -> Image.Image:
    """Convert to 8 bits and sRGB; colours are left as they are where a profile is unusable."""
    with recorded_warnings():  # what a conversion loses is lost only on the screen
        light = to_light(picture) if picture.space == "cmyk" else picture
        image = _in_srgb(to_pillow(light.pixels), light.metadata.icc)
    if picture.alpha is not None:
        image.putalpha(to_pillow(picture.alpha * 2 - 1))
    return image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None or is_srgb(profile):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if changed is None else changed


def view_png(path: Path) -> bytes:
    """Read an image file and encode it for a browser; errors as for `read_picture`."""
    with _ONE_AT_A_TIME, recorded_warnings():
        return _png(shown_image(read_picture(path)))


def enlarged_png(path: Path, width: int, height: int) -> bytes:
    """Enlarge an image file by bicubic interpolation, without the network; errors as for `read_picture`."""
    with _ONE_AT_A_TIME, recorded_warnings():
        picture = read_picture(path)
        pixels = resize(picture.pixels, height, width).clamp_(-1, 1)
        alpha = None if picture.alpha is None else resize(picture.alpha, height, width).clamp_(0, 1)
        return _png(shown_image(replace(picture, pixels=pixels, alpha=alpha)))


def webp(image: Image.Image) -> bytes:
    """Encode a preview quickly."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85, method=0)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
