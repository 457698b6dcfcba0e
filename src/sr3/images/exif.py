"""EXIF: read whole or not at all, and its resolution."""

import warnings

from PIL import ExifTags, Image

from sr3.images.recorded_warnings import recorded_warnings
from sr3.images.tiff_tags import descriptive_exif

__all__ = ["EXIF_PREFIX", "RAW_EXIF", "read_exif", "with_resolution"]

EXIF_PREFIX = b"Exif\x00\x00"
"""What stands before EXIF where it is kept as a block."""
RAW_EXIF = "Raw profile type exif"
"""How ImageMagick keeps EXIF in a PNG."""


def with_resolution(exif: bytes | None, across: float, down: float) -> bytes | None:
    """Multiply the resolution that EXIF names, if it names one."""
    tags = {ExifTags.Base.XResolution: across, ExifTags.Base.YResolution: down}
    if exif is None or across == down == 1:
        return exif
    parsed = Image.Exif()
    try:
        parsed.load(exif)
        named = [tag for tag in tags if tag in parsed]
        for tag in named:
            parsed[tag] = float(parsed[tag]) * tags[tag]
        return EXIF_PREFIX + parsed.tobytes().removeprefix(EXIF_PREFIX) if named else exif
    except Exception:
        # Pillow's EXIF parser lets damaged data surface as almost any exception; what it cannot read stays as it is.
        return exif


def read_exif(image: Image.Image) -> bytes | None:
    """Read the EXIF of an opened image, with its mark; of damaged EXIF, with a warning, what can be read of it."""
    raw = image.info.get("exif")
    try:
        if image.format == "TIFF":
            exif = descriptive_exif(image.getexif())
            raw = exif.tobytes() if len(exif) else None
        elif not raw and RAW_EXIF in image.info:
            raw = image.getexif().tobytes()
    except Exception as error:
        warnings.warn(f"EXIF is damaged and left out ({error})", stacklevel=2)
        return None
    return _whole(raw if raw.startswith(EXIF_PREFIX) else EXIF_PREFIX + raw) if raw else None


def _whole(exif: bytes) -> bytes | None:
    """Return EXIF as it is; if it is damaged, and Pillow has warned of that, what can be read of it."""
    parsed, kept = Image.Exif(), b""
    with recorded_warnings() as caught:
        try:
            parsed.load(exif)
            if not caught:
                return exif
            kept = parsed.tobytes() if len(parsed) else b""
        except Exception:  # damaged data surface as almost any exception
            kept = b""
    if not kept:
        warnings.warn("EXIF is damaged and left out", stacklevel=2)
    return EXIF_PREFIX + kept.removeprefix(EXIF_PREFIX) if kept else None
