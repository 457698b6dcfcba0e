"""TIFF tags that describe the image, apart from those that describe its layout."""

from PIL import ExifTags, Image

__all__ = ["XMP_TAG", "descriptive_exif", "tiff_dpi"]

XMP_TAG = 700
_CENTIMETRES = 3  # unit of the resolution
# A TIFF keeps its layout (strips, compression, bits) and its EXIF in one directory: only these are EXIF.
_DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Copyright,
)
_SHAPE, _OF_TIFFFILE = '{"shape": [', (ExifTags.Base.ImageDescription, ExifTags.Base.Software)
"""What tifffile writes of itself and of the shape of an array, which is not that of the result."""


def tiff_dpi(exif: Image.Exif) -> tuple[float, float] | tuple[()]:
    """Read horizontal and vertical dots per inch; nothing where there are none."""
    unit = exif.get(ExifTags.Base.ResolutionUnit, 2)
    across, down = (exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
    if across is None or down is None or unit not in (2, _CENTIMETRES):
        return ()
    factor = 2.54 if unit == _CENTIMETRES else 1.0
    return float(across) * factor, float(down) * factor


def descriptive_exif(exif: Image.Exif) -> Image.Exif:
    """Keep what describes the image."""
    kept = Image.Exif()
    by_tifffile = str(exif.get(ExifTags.Base.ImageDescription, "")).startswith(_SHAPE)
    for tag in _DESCRIPTIVE_TAGS:
        if tag in exif and not (by_tifffile and tag in _OF_TIFFFILE):
            kept[tag] = exif[tag]
    for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        # The interoperability block is an offset into the old file.
        inner = {tag: value for tag, value in exif.get_ifd(group).items() if tag != ExifTags.IFD.Interop}
        if inner:
            kept[group] = inner
    return kept
