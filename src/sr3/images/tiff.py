"""TIFF that Pillow does not open or misreads: floats, planar 16 bits, inverted 16-bit grey, and what needs a refusal.

Layout: TIFF 6.0; floats and differences of them as in Adobe's TIFF Technical Note 3.
"""

import io
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
import tifffile
from PIL import TiffImagePlugin
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, PLANARCONFIG, SAMPLEFORMAT

from sr3.errors import ImageError
from sr3.images.metadata import read_tiff_metadata, upright_size
from sr3.images.packing import check_whole
from sr3.images.picture import Picture, from_numbers, upright_planes

__all__ = ["Pages", "holds_bands", "pages_of", "read_tiff", "tiff_layout", "tiff_size"]

_COMPLEX = (SAMPLEFORMAT.COMPLEXINT, SAMPLEFORMAT.COMPLEXIEEEFP)
_INKS = 4
_MOST_PAGES = 32
"""Pages after which it is known that there are several images, and a mask has been met if there is one."""
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it would print what is said here in one line


class Layout(NamedTuple):
    """Channels of colour, whether alpha follows them, and whether 0 is white."""

    colours: int
    has_alpha: bool
    is_inverted: bool


class Pages(NamedTuple):
    """What a TIFF holds: images, without reduced copies and masks of one, and whether there is a mask."""

    images: int
    has_mask: bool


def pages_of(file: BinaryIO) -> Pages:
    """Count what a TIFF holds; one image where that cannot be found out, or the file is of another kind."""
    with _first_page(file, of_any_kind=True) as page:
        return Pages(1, has_mask=False) if page is None else _pages(page)


def _pages(first: tifffile.TiffPage) -> Pages:
    """Look at the first pages; a chain that leads back to itself ends there."""
    images, has_mask, seen = 0, False, set[int]()
    try:
        for number, one in enumerate(first.parent.pages):
            if number == _MOST_PAGES or one.offset in seen:
                break
            seen.add(one.offset)
            page = one.aspage()
            images += not page.is_reduced and not page.is_mask
            has_mask = has_mask or page.is_mask
    except Exception:
        # Damaged data surface as almost any exception; the first image is whole or not by itself.
        return Pages(1, has_mask=False)
    return Pages(max(1, images), has_mask=has_mask)


def tiff_size(file: BinaryIO) -> tuple[int, int] | None:
    """Read width and height, upright, of a TIFF that is read here; None for any other file. Pixels are not decoded."""
    with _first_page(file) as page:
        if page is None:
            return None
        turn, _ = read_tiff_metadata(file, page.offset, order=page.parent.byteorder, is_big=page.parent.is_bigtiff)
        return upright_size((page.imagewidth, page.imagelength), turn)


def tiff_layout(file: BinaryIO) -> tuple[int, int, int] | None:
    """Read width, height and colours of a TIFF that is read here; None for any other; ImageError as `read_tiff`."""
    with _first_page(file) as page:
        return None if page is None else (page.imagewidth, page.imagelength, _layout(page).colours)


def read_tiff(file: BinaryIO, *, upright: bool = True) -> tuple[Picture, Pages]:
    """Read the first image of a TIFF for which `tiff_size` gives a size, and what else it holds.

    upright: whether to turn it as its tag says.

    Grey or RGB, with alpha or without. Raises ImageError, without a name, for other colours and channels, for packing
    that is not read (see `sr3.images.packing`), for floats outside 0 to 1 or NaN, and for strips or tiles that are cut
    short or too large.
    """
    with _first_page(file) as page:
        assert page is not None, "tiff_size is asked first"
        layout = _layout(page)
        check_whole(page, file)
        planes, depth = from_numbers(_decoded(page))
        order = page.parent.byteorder
        turn, metadata = read_tiff_metadata(file, page.offset, order=order, is_big=page.parent.is_bigtiff)
        pages = _pages(page)
    planes = upright_planes(planes, turn) if upright else planes
    unit = 1 - planes[: layout.colours] if layout.is_inverted else planes[: layout.colours]
    alpha = planes[layout.colours :] if layout.has_alpha else None
    return Picture(unit * 2 - 1, alpha, depth, metadata), pages


@contextmanager
def _first_page(file: BinaryIO, *, of_any_kind: bool = False) -> Generator[tifffile.TiffPage | None]:
    """Open the first directory if it is to be read here; what tifffile cannot open is left to Pillow's complaint."""
    file.seek(0)
    is_tiff = file.read(4) in _MAGIC
    file.seek(0)
    page = None
    try:
        if is_tiff:
            found = tifffile.TiffFile(file).pages.first
            page = found if of_any_kind or _is_read_here(found) else None
    except Exception:
        # Damaged data surface as almost any exception.
        page = None
    yield page


def _is_read_here(page: tifffile.TiffPage) -> bool:
    if page.sampleformat == SAMPLEFORMAT.IEEEFP or int(page.compression) not in TiffImagePlugin.COMPRESSION_INFO:
        return True
    if page.compression == COMPRESSION.PACKBITS and page.predictor != 1:
        return True  # libtiff knows no differences there, and gives them for the pixels
    if page.bitspersample > 8 and page.samplesperpixel > 1 and page.bitspersample != 16:
        return True
    if page.compression == COMPRESSION.WEBP or page.imagedepth != 1:
        return True  # which Pillow cannot decode, or of which it gives one slice
    if page.sampleformat in (SAMPLEFORMAT.INT, *_COMPLEX) or not _is_understood_by_pillow(page):
        return True
    in_planes = page.planarconfig == PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    if EXTRASAMPLE.ASSOCALPHA in page.extrasamples and (in_planes or page.bitspersample != 8):
        return True
    return page.bitspersample == 16 and (in_planes or page.photometric == PHOTOMETRIC.MINISWHITE)


def _is_understood_by_pillow(page: tifffile.TiffPage) -> bool:
    """Return whether channels of grey or RGB have a meaning that Pillow knows; others it drops or cannot open.

    Colours multiplied by alpha it divides itself, where they have 8 bits.
    """
    known_colours: dict[int, int] = {PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.MINISWHITE: 1, PHOTOMETRIC.RGB: 3}
    colours = known_colours.get(page.photometric)
    if colours is None:
        return page.photometric != PHOTOMETRIC.SEPARATED or page.samplesperpixel == _INKS
    extras = tuple(page.extrasamples)
    known = ((), (EXTRASAMPLE.UNASSALPHA,), (EXTRASAMPLE.ASSOCALPHA,))
    return extras in known and page.samplesperpixel - len(extras) == colours


def holds_bands(data: bytes) -> bool:
    """Return whether a TIFF holds bands instead of colours: channels besides grey or RGB that are not alpha."""
    with _first_page(io.BytesIO(data), of_any_kind=True) as page:
        if page is None or page.photometric not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB):
            return False
        return not _is_understood_by_pillow(page)


def _layout(page: tifffile.TiffPage) -> Layout:
    """Describe what the channels are; ImageError for what is neither grey nor RGB of numbers that are read."""
    is_odd = page.bitspersample not in (8, 16, 32, 64)
    if page.dtype is None or is_odd or page.dtype.newbyteorder("=") not in (np.uint8, np.uint16, "f2", "f4", "f8"):
        kinds: dict[int, str] = {SAMPLEFORMAT.IEEEFP: "floats", SAMPLEFORMAT.INT: "signed whole numbers"}
        kinds |= dict.fromkeys(_COMPLEX, "complex numbers")
        kind = kinds.get(page.sampleformat, "whole numbers")
        raise ImageError(f"holds {kind} of {page.bitspersample} bits; give uint8, uint16, or floats from 0 to 1")
    if page.photometric not in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"its colours are {name}, which is not supported for such a TIFF; convert it to grey or RGB")
    if page.imagedepth != 1:
        raise ImageError("is a volume; save one slice of it")
    extras, samples = tuple(page.extrasamples), page.samplesperpixel
    if EXTRASAMPLE.ASSOCALPHA in extras:
        raise ImageError("has premultiplied (associated) alpha; save it with straight (unassociated) alpha")
    colours = samples - len(extras)
    if page.photometric == PHOTOMETRIC.MINISBLACK and samples == 3 and EXTRASAMPLE.UNASSALPHA not in extras:
        return Layout(3, has_alpha=False, is_inverted=False)  # three bands, as `write_bands` writes them
    expected = 3 if page.photometric == PHOTOMETRIC.RGB else 1
    if colours != expected or extras not in ((), (EXTRASAMPLE.UNASSALPHA,)):
        text = f"has {samples} channels, and only the first {expected} are grey or colour: the others are not alpha"
        raise ImageError(f"{text}; save only the first {expected}, or use a model of {samples} channels")
    return Layout(colours, bool(extras), page.photometric == PHOTOMETRIC.MINISWHITE)


def _decoded(page: tifffile.TiffPage) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    """Decode to (h, w, c)."""
    array = np.asarray(page.asarray(maxworkers=1))
    if array.ndim == 2:
        return array[..., None]
    return array.transpose(1, 2, 0) if page.planarconfig == PLANARCONFIG.SEPARATE else array
