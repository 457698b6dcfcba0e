"""The size of a file before it is decoded: that of the upright image, in every format."""

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import ExifTags, Image

from pictures import smooth
from sr3.images.files import picture_size, read_picture
from sr3.upscaling.naming import Naming
from sr3.upscaling.sizing import Sizing

HIGH, WIDE = 24, 40


def exif_of(turn):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    return exif


def made(path, turn, kind=np.uint8, *, planes=False):
    """Write a file whose pixels lie as in `smooth` and are to be turned."""
    pixels = smooth(HIGH, WIDE)
    if path.suffix == ".tif":
        top = 1.0 if kind is np.float32 else np.iinfo(kind).max
        array = (pixels / 255 * top).astype(kind)
        array = array.transpose(2, 0, 1).copy() if planes else array
        tags = [(ExifTags.Base.Orientation, "H", 1, turn, True)]
        layout = {"planarconfig": "separate" if planes else "contig", "photometric": "rgb", "metadata": None}
        tifffile.imwrite(path, array, extratags=tags, **layout)
    elif path.suffix == ".heic":
        pillow_heif.register_heif_opener()
        Image.fromarray(pixels).save(path, "HEIF", exif=exif_of(turn).tobytes())
    else:
        Image.fromarray(pixels).save(path, exif=exif_of(turn))
    return path


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {}),
        ("a.png", {}),
        ("a.webp", {}),
        ("a.avif", {}),
        ("a.heic", {}),
        ("a.tif", {}),
        ("a.tif", {"kind": np.uint16}),
        ("a.tif", {"kind": np.uint16, "planes": True}),
        ("a.tif", {"kind": np.float32}),
    ],
)
def test_the_size_is_that_of_the_upright_image(tmp_path, name, options, turn):
    path = made(tmp_path / name, turn, **options)
    expected = (WIDE, HIGH) if turn < 5 else (HIGH, WIDE)
    picture = read_picture(path)
    assert picture_size(path) == (picture.width, picture.height) == expected


def test_a_name_has_the_scale_of_the_upright_image(tmp_path):
    path = made(tmp_path / "a.jpg", 6)
    naming = Naming("{stem}-x{scale}", sizing=Sizing(width=HIGH * 3), scale=4)
    assert naming.name(path) == "a-x3.jpg"
