"""Images with any number of bands and any bit depth: NumPy arrays (.npy) and TIFF.

An array is (h, w) or (h, w, bands) of uint8, uint16, or floats from 0 to 1. TIFF is read by tifffile, which unlike
Pillow keeps 16 bits and any number of bands. Of a TIFF are kept where its pixels lie on the ground, IPTC, XMP, dots an
inch; of the rest a warning names what is left out.
"""

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sr3.atomic import whole_file
from sr3.errors import ImageError
from sr3.images.extras import IPTC_TAG
from sr3.images.files import MAX_INPUT_PIXELS, Picture
from sr3.images.metadata import Metadata, read_tiff_metadata
from sr3.images.packing import check_whole
from sr3.images.picture import Depth, from_numbers, to_floats
from sr3.images.tiff_tags import XMP_TAG

__all__ = [
    "ARRAY_SUFFIX",
    "BAND_SUFFIXES",
    "Bands",
    "band_header",
    "band_size",
    "is_array",
    "is_tiff",
    "read_array",
    "read_bands",
    "write_bands",
]

ARRAY_SUFFIX = ".npy"
BAND_SUFFIXES = (ARRAY_SUFFIX, ".tif", ".tiff")
"""Suffixes, in lower case, of files that hold any number of bands."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY_MAGIC = b"\x93NUMPY"
_MOST_BANDS = 64
_TEXT, _SHORT, _LONG, _BYTES, _DOUBLE = 2, 3, 4, 7, 12  # types of TIFF


class Bands(NamedTuple):
    """Values of an image, (c, h, w) float32 from 0 to 1, and the bits they had: 32 for floats."""

    values: Tensor
    depth: Depth


class Header(NamedTuple):
    """Size and bands of an image, without its pixels."""

    width: int
    height: int
    channels: int


def is_array(data: bytes) -> bool:
    """Return whether the beginning of a file is that of an array."""
    return data.startswith(_NPY_MAGIC)


def is_tiff(data: bytes) -> bool:
    """Return whether the beginning of a file is that of a TIFF."""
    return data.startswith(_TIFF_MAGIC)


def read_array(data: bytes, name: str) -> Bands:
    """Decode an array or a TIFF; ImageError, with the name, when it is damaged, too large or of another kind."""
    with _named(name):
        return _read(io.BytesIO(data), name)


def band_header(data: bytes, name: str) -> Header:
    """Read size and bands without decoding; errors as for `read_array`."""
    with _named(name):
        return _header(io.BytesIO(data), name)


def band_size(path: Path) -> Header:
    """Read size and bands of a file without its pixels; errors as for `read_bands`."""
    with _opened(path) as file:
        return _header(file, str(path))


def read_bands(path: Path) -> Picture:
    """Read an array or a TIFF with all its bands; ImageError as for `read_array`, or when there is no such file."""
    with _opened(path) as file:
        bands = _read(file, str(path))
        file.seek(0)
        metadata = Metadata() if is_array(_start(file)) else _metadata(file)
        return Picture(bands.values * 2 - 1, depth=bands.depth, metadata=metadata)


def _metadata(file: BinaryIO) -> Metadata:
    with tifffile.TiffFile(file) as tiff:
        page, order, is_big = tiff.pages.first, tiff.byteorder, tiff.is_bigtiff
        _, found = read_tiff_metadata(file, page.offset, order=order, is_big=is_big)
    return found


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    """Open a file of bands; what goes wrong inside becomes an ImageError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    with file, _named(str(path)):
        start = _start(file)
        if not start:
            raise ImageError(f"{path}: is empty; copy or download it again")
        if not (is_array(start) or is_tiff(start)):
            raise ImageError(f"{path}: is neither a NumPy array nor a TIFF, whatever its name; save it as one")
        yield file


@contextmanager
def _named(name: str) -> Generator[None]:
    """Turn what goes wrong inside into an ImageError with the name."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name}: does not fit in memory; cut it into parts") from error
    except Exception as error:
        # Damaged data surface as almost any exception.
        detail = " ".join(str(error).split())[:120]
        raise ImageError(f"{name}: is damaged or of an unsupported kind ({detail}); save it again") from error


def _start(file: BinaryIO) -> bytes:
    start = file.read(len(_NPY_MAGIC))
    file.seek(0)
    return start


def _header(file: BinaryIO, name: str) -> Header:
    if is_array(_start(file)):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape = tuple(read(file)[0])
    else:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages[0]
            shape = tuple(page.shape)
            if getattr(page, "planarconfig", 1) == 2 and len(shape) == 3:
                shape = (*shape[1:], shape[0])
    _check_shape(name, shape)
    return Header(shape[1], shape[0], shape[2] if len(shape) == 3 else 1)


def _read(file: BinaryIO, name: str) -> Bands:
    if is_array(_start(file)):
        _header(file, name)  # refuses before the pixels are read
        file.seek(0)
        return _bands(np.load(file, allow_pickle=False), name)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        _check_is_bands(name, page)
        _check_size(name, page.shape)
        try:
            check_whole(page, file)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        array = np.asarray(page.asarray())
    if getattr(page, "planarconfig", 1) == 2 and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    return _bands(array, name)


def _check_is_bands(name: str, page: Any) -> None:  # noqa: ANN401 (a page or a frame of tifffile)
    """Raise ImageError where the numbers of a TIFF are no bands as they stand: inks, other colours, alpha."""
    photometric = getattr(page, "photometric", None)
    if photometric not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB):
        kind = getattr(photometric, "name", photometric)
        raise ImageError(f"{name}: its colours are {kind}, which cannot be read as bands; convert it to grey or RGB")
    alphas = (tifffile.EXTRASAMPLE.UNASSALPHA, tifffile.EXTRASAMPLE.ASSOCALPHA)
    if any(extra in alphas for extra in getattr(page, "extrasamples", ())):
        raise ImageError(f"{name}: has an alpha channel, which is not a band; save it without alpha")


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] > _MOST_BANDS):
        raise ImageError(
            f"{name}: has shape {shape}, not that of an image; give (height, width) or (height, width, bands), "
            f"at most {_MOST_BANDS} bands"
        )
    _check_size(name, shape)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) >= 2 and int(np.prod([int(side) for side in shape])) > MAX_INPUT_PIXELS * 3:
        raise ImageError(f"{name}: has shape {shape}, more than is read at once; cut it into parts")


def _bands(array: NDArray[Any], name: str) -> Bands:
    _check_shape(name, array.shape)
    array = array[..., None] if array.ndim == 2 else array
    try:
        return Bands(*from_numbers(array))
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def write_bands(path: Path, picture: Picture) -> None:
    """Write all bands with the depth they came with; path is whole and new, or as it was before.

    Raises ImageError for another suffix, for NaN, and when the disk refuses.
    """
    suffix = path.suffix.lower()
    if suffix not in BAND_SUFFIXES:
        raise ImageError(f"{path}: cannot hold {len(picture.pixels)} bands; use one of {', '.join(BAND_SUFFIXES)}")
    array = to_floats(picture.pixels)
    if picture.depth != 32:
        kind = np.uint8 if picture.depth == 8 else np.uint16
        array = np.round(array * np.iinfo(kind).max).astype(kind)
    array = np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)
    options = _options(path, picture.metadata, suffix)
    try:
        with whole_file(path) as temporary:
            if suffix == ARRAY_SUFFIX:
                with temporary.open("wb") as file:  # a name would get another suffix where this one has capitals
                    np.save(file, array)
            else:
                layout = "contig" if array.ndim == 3 else None
                tifffile.imwrite(
                    temporary, array, photometric="minisblack", planarconfig=layout, metadata=None, **options
                )
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def _options(path: Path, metadata: Metadata, suffix: str) -> dict[str, Any]:
    """Name the metadata that a TIFF of bands takes, as arguments of tifffile; warn of the rest."""
    texts, has_more = _texts(metadata.exif)
    lost = [*metadata.lost, *(["EXIF"] if has_more else []), *(["colour profile"] if metadata.icc else [])]
    if suffix == ARRAY_SUFFIX:
        others = {"description": texts, "XMP": metadata.xmp, "IPTC": metadata.iptc, "GeoTIFF tags": metadata.place}
        lost += [name for name, value in others.items() if value]
    if lost:
        warnings.warn(f"{path}: {', '.join(lost)}: cannot be stored in the result and is left out", stacklevel=3)
    if suffix == ARRAY_SUFFIX:
        return {}
    blocks = ((XMP_TAG, metadata.xmp), (IPTC_TAG, metadata.iptc))
    extra = [(tag, *_typed(value), True) for tag, value in (*texts.items(), *metadata.place)]
    extra += [(tag, _BYTES, len(block), block, True) for tag, block in blocks if block]
    resolution = {} if metadata.dpi is None else {"resolution": metadata.dpi, "resolutionunit": 2}
    return {"extratags": extra, "software": False, **resolution}


def _texts(exif: bytes | None) -> tuple[dict[int, str], bool]:
    """Take the texts out of EXIF that a TIFF holds by itself, and tell whether there is more."""
    parsed = Image.Exif()
    parsed.load(exif or b"")
    texts = {tag: value for tag, value in parsed.items() if isinstance(value, str)}
    return texts, any(tag not in texts for tag in parsed)


def _typed(value: Any) -> tuple[int, int, Any]:  # noqa: ANN401 (as tags are)
    """Return the type, the count and the value of a tag as tifffile takes them: text, whole numbers or doubles."""
    if isinstance(value, str):
        return _TEXT, 0, value.encode()
    whole = all(isinstance(number, int) for number in value)
    return (_DOUBLE if not whole else _SHORT if max(value) < 2**16 else _LONG), len(value), value
