"""Metadata that travels with the pixels: colour profile, EXIF, XMP, resolution (DPI).

Knows where each of Pillow's formats keeps them, and fixes what Pillow leaves undone about them.
Knows nothing of tensors. What cannot be kept is left out with a warning.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from sr3.images.exif import EXIF_PREFIX, RAW_EXIF, read_exif, with_resolution
from sr3.images.extras import CICP, IPTC_TAG, iptc_marker, read_iptc, read_lost, read_text
from sr3.images.georeference import Georeference, enlarged, read_georeference
from sr3.images.tiff_tags import XMP_TAG, descriptive_exif, tiff_dpi

__all__ = [
    "COLOUR_CHUNKS",
    "TURNED",
    "Metadata",
    "read_metadata",
    "read_tiff_metadata",
    "saving_options",
    "scale_colour_key",
    "turn_of",
    "turn_upright",
    "upright_size",
    "warn_of_losses",
]

_PNG_XMP = "XML:com.adobe.xmp"
_ICC_TAG = 34675  # of TIFF
_MAX_JPEG_BLOCK = 65500
_TURNED_SIDEWAYS = (5, 6, 7, 8)
_MAX_DPI = 65535
_LONG_TEXT = 1000
_GAIN_MAP = b"hdrgm:Version"  # of Ultra HDR
COLOUR_CHUNKS = "sr3-colour-chunks"
"""Where `read_metadata` finds in `info` what `read_colour_chunks` found."""
TURNED = "sr3-turned"
"""Where it finds whether a TIFF is turned, which Pillow does and forgets when it decodes one."""
# Pillow widens a PNG's grey of 2 or 4 bits to 8 by these factors, but not its transparent grey.
_GREY_FACTORS = {"L;2": 85, "L;4": 17}
# In these modes the profile describes other channels than the grey or RGB that the pixels become.
_FOREIGN_MODES = ("YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class Metadata:
    """What a file says about its pixels; None where it says nothing.

    `icc`, `exif` (with its `Exif` mark in front) and `xmp` are the raw blocks; `dpi` is horizontal and
    vertical dots per inch. `colour_chunks` say what the numbers of a PNG, HEIC or AVIF mean (gAMA, cHRM, cICP), `text`
    what else a PNG says of itself, `comment` a JPEG's or a GIF's, `iptc` the record of a JPEG or TIFF, `place` where
    the pixels of a TIFF lie on the ground. `lost` names what was found and cannot be kept.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    text: tuple[tuple[str, str], ...] = ()
    comment: bytes | None = None
    iptc: bytes | None = None
    place: Georeference = ()
    lost: tuple[str, ...] = ()

    def scaled(self, across: float, down: float | None = None) -> "Metadata":
        """Return the metadata of the image enlarged: the same size on paper, so more dots per inch, in EXIF as well.

        across, down: how much wider and higher it is; alike, where only one is given.
        """
        down = across if down is None else down
        dpi = None if self.dpi is None else (self.dpi[0] * across, self.dpi[1] * down)
        place = enlarged(self.place, across, down)
        return replace(self, dpi=dpi, exif=with_resolution(self.exif, across, down), place=place)


def scale_colour_key(image: Image.Image) -> None:
    """Bring a PNG's transparent colour to the 8 bits of its pixels; call it before `load`.

    Pillow leaves it in the depth of the file, so that no pixel would be found transparent.
    """
    key, tiles = image.info.get("transparency"), getattr(image, "tile", ())
    if image.format != "PNG" or key is None or not tiles:
        return
    factor = _GREY_FACTORS.get(tiles[0][3])
    if factor and key <= 255 // factor:
        image.info["transparency"] = key * factor
    elif image.mode == "1":
        image.info["transparency"] = 255 if key else 0
    elif image.mode == "RGB" and max(key) > 255:
        image.info["transparency"] = tuple(value >> 8 for value in key)


def warn_of_losses(pictures: int, *, has_mask: bool = False) -> None:
    """Say that of several images in a file one is read, and that a mask is not."""
    if pictures > 1:
        warnings.warn("holds several images, only the first is read", stacklevel=2)
    if has_mask:
        warnings.warn("holds a mask, which is left out; --geo keeps one", stacklevel=2)


def turn_of(image: Image.Image) -> int:
    """Return the turn, 1 to 8, that `turn_upright` carries out; 1 where it cannot be understood."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        # Pillow's EXIF parser lets damaged data surface as almost any exception.
        return 1


def upright_size(size: tuple[int, int], turn: int) -> tuple[int, int]:
    """Return width and height after the turn that EXIF calls by this number, 1 to 8."""
    return (size[1], size[0]) if turn in _TURNED_SIDEWAYS else size


def turn_upright(image: Image.Image) -> None:
    """Turn a loaded image, in place, as its EXIF or XMP says, and take the tag out of both.

    Where EXIF cannot be understood, EXIF and XMP are taken out with a warning.
    """
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:
        # Pillow's EXIF parser lets damaged data surface as almost any exception.
        for key in ("exif", RAW_EXIF, "xmp", _PNG_XMP):
            image.info.pop(key, None)
        warnings.warn(f"EXIF is damaged, so EXIF and XMP are left out ({error})", stacklevel=2)


def read_metadata(image: Image.Image) -> Metadata:
    """Collect the metadata of an upright, loaded image whose file is still open."""
    icc = image.info.get("icc_profile")
    if icc and image.mode in _FOREIGN_MODES:
        warnings.warn(f"the colour profile is for {image.mode}, so it is left out of the RGB result", stacklevel=2)
        icc = None
    found = image.info.get("xmp") or image.info.get(_PNG_XMP)
    xmp = (found.encode() if isinstance(found, str) else found) or None
    if xmp is not None and _GAIN_MAP in xmp:
        warnings.warn("holds an HDR gain map, which is left out with the XMP that describes it", stacklevel=2)
        xmp = None
    comment, tags = image.info.get("comment"), getattr(image, "tag_v2", {})
    beaten = icc and image.format != "PNG"  # only there the chunk counts more than a profile
    is_turned = image.info.get(TURNED, False)
    return Metadata(
        icc=icc or None,
        exif=read_exif(image),
        xmp=xmp,
        dpi=_read_dpi(image),
        colour_chunks=() if beaten else image.info.get(COLOUR_CHUNKS, ()),
        text=read_text(image, beside=("xmp", _PNG_XMP, RAW_EXIF, "comment")),
        comment=(comment.encode() if isinstance(comment, str) else comment) or None,
        iptc=read_iptc(image),
        place=() if is_turned else read_georeference(tags),
        lost=read_lost(tags, is_turned=is_turned),
    )


def read_tiff_metadata(file: BinaryIO, offset: int, *, order: str, is_big: bool) -> tuple[int, Metadata]:
    """Collect the orientation, 1 to 8, and the metadata of a TIFF that Pillow does not open.

    offset: of its directory in the file. order: of its bytes, "<" or ">". is_big: whether it is a BigTIFF.
    """
    exif, stand_in = Image.Exif(), Image.new("L", (1, 1))
    exif.bigtiff, exif.endian = is_big, order
    try:
        exif.load_from_fp(file, offset)
        blocks = {"icc_profile": exif.get(_ICC_TAG), "xmp": exif.get(XMP_TAG)}
        stand_in.info.update({name: block for name, block in blocks.items() if isinstance(block, bytes)})
        stand_in.info["dpi"] = tiff_dpi(exif)
        kept, turn = descriptive_exif(exif), exif.get(ExifTags.Base.Orientation, 1)
        if turn != 1:
            kept[ExifTags.Base.Orientation] = turn
        if len(kept):
            stand_in.info["exif"] = EXIF_PREFIX + kept.tobytes().removeprefix(EXIF_PREFIX)
        turn = stand_in.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:
        # Pillow's EXIF parser lets damaged data surface as almost any exception.
        warnings.warn(f"EXIF is damaged and left out ({error})", stacklevel=2)
        return 1, Metadata()
    turn_upright(stand_in)
    iptc, turn = exif.get(IPTC_TAG), turn if turn in range(1, 9) else 1
    found = replace(
        read_metadata(stand_in),
        iptc=iptc if isinstance(iptc, bytes) and iptc else None,
        place=read_georeference(exif) if turn == 1 else (),
        lost=read_lost(exif, is_turned=turn != 1),
    )
    return turn, found


def saving_options(metadata: Metadata, kind: str) -> dict[str, Any]:
    """Name the metadata that a format has a place for, as arguments of `PIL.Image.Image.save`."""
    kept: dict[str, Any] = {"icc_profile": metadata.icc, "exif": metadata.exif, "dpi": metadata.dpi}
    lost = list(metadata.lost)
    if kind == "PNG":
        kept["pnginfo"] = _png_info(metadata)
    elif kind == "TIFF":
        kept["exif"] = _tiff_exif(metadata)
    else:
        kept["xmp"] = metadata.xmp
    marker = iptc_marker(metadata.iptc) if metadata.iptc and kind == "JPEG" else None
    if marker:
        kept["extra"] = marker
    elif metadata.iptc and kind != "TIFF":
        lost.append("IPTC")
    if kind == "BMP":
        lost += [name.upper() for name in ("icc", "exif", "xmp") if getattr(metadata, name)]
    if metadata.place and kind != "TIFF":
        lost.append("GeoTIFF tags")
    if kind == "JPEG" and metadata.comment:
        kept["comment"] = metadata.comment
    elif metadata.comment:
        lost.append("comment")
    if kind != "PNG":
        lost += ["text"] if metadata.text else []
        lost += [name.decode() for name, _ in metadata.colour_chunks if name != CICP or kind not in ("HEIC", "AVIF")]
    if lost:
        warnings.warn(f"{', '.join(lost)}: cannot be stored in the result and is left out", stacklevel=2)
    for name in ("exif", "xmp"):
        if kind == "JPEG" and len(kept[name] or b"") > _MAX_JPEG_BLOCK:
            warnings.warn(f"{name.upper()} is too long for a JPEG and is left out", stacklevel=2)
            kept[name] = None
    if kind == "JPEG" and round(max(metadata.dpi or (0,))) > _MAX_DPI:
        warnings.warn(f"a resolution above {_MAX_DPI} DPI cannot be stored in a JPEG and is left out", stacklevel=2)
        kept["dpi"] = None
    return {name: value for name, value in kept.items() if value}


def _png_info(metadata: Metadata) -> PngImagePlugin.PngInfo | None:
    """Gather the chunks that Pillow does not write by itself."""
    if not (metadata.xmp or metadata.text or metadata.colour_chunks):
        return None
    info = PngImagePlugin.PngInfo()
    for name, data in metadata.colour_chunks:
        info.add(name, data)
    if metadata.xmp:
        info.add_itxt(_PNG_XMP, metadata.xmp.decode(errors="replace"))
    for key, value in metadata.text:
        info.add_itxt(key, value, zip=len(value) > _LONG_TEXT)
    return info


def _read_dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # Pillow gives 1 where a TIFF names no resolution.
    return (across, down) if 1 < across <= _MAX_DPI and 1 < down <= _MAX_DPI else None


def _tiff_exif(metadata: Metadata) -> bytes | None:
    exif = Image.Exif()
    try:
        exif.load(metadata.exif or b"")
        kept = descriptive_exif(exif)
    except Exception as error:
        warnings.warn(f"EXIF is damaged and left out ({error})", stacklevel=2)
        kept = Image.Exif()
    if metadata.xmp:
        kept[XMP_TAG] = metadata.xmp
    if metadata.iptc:
        kept[IPTC_TAG] = metadata.iptc
    for tag, value in metadata.place:
        kept[tag] = value
    return kept.tobytes() if len(kept) else None
