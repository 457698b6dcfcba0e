import warnings

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps

from sr3.images.files import Picture, read_picture, to_pixels, write_picture
from sr3.images.metadata import Metadata

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>r\xc3\xa9sum\xc3\xa9</a></x:xmpmeta>'
SUFFIXES = [".png", ".jpg", ".webp", ".tiff"]


def picture(metadata=None):
    array = np.random.default_rng(0).integers(0, 256, (5, 3, 3)).astype(np.uint8)
    return Picture(to_pixels(Image.fromarray(array)), metadata=metadata or Metadata())


def exif_block(**tags):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Kamera"
    exif[ExifTags.Base.Copyright] = "nobody"
    for name, value in tags.items():
        exif[ExifTags.Base[name]] = value
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.LensModel: "50 mm", ExifTags.Base.ISOSpeedRatings: 200}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    return exif.tobytes()


def parsed(block):
    exif = Image.Exif()
    exif.load(block)
    return exif


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_that_exif_names_is_made_and_its_tag_reset(tmp_path, suffix, orientation):
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Kamera"
    with Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 3, 3)).astype(np.uint8)) as image:
        image.save(path, exif=exif)
    with Image.open(path) as image:
        expected = to_pixels(ImageOps.exif_transpose(image))
    read = read_picture(path)
    assert torch.equal(read.pixels, expected)
    assert read.width == (3 if orientation < 5 else 5)
    kept = parsed(read.metadata.exif)
    assert kept.get(ExifTags.Base.Orientation, 1) == 1
    assert kept[ExifTags.Base.Make] == "Kamera"
    write_picture(path, read)
    assert read_picture(path).pixels.shape == expected.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_grey_is_turned_too(tmp_path, orientation):
    array = np.arange(15, dtype=np.uint16).reshape(5, 3) * 4000
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png"))
    turns = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.T,
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).T,
        8: np.rot90(array),
    }
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image), turns[orientation])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_profile_exif_and_xmp_are_kept(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", picture(Metadata(ICC, exif_block(), XMP)))
    kept = read_picture(tmp_path / f"a{suffix}").metadata
    assert (kept.icc, kept.xmp) == (ICC, XMP)
    exif = parsed(kept.exif)
    assert exif[ExifTags.Base.Make] == "Kamera"
    assert exif[ExifTags.Base.Copyright] == "nobody"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] == "50 mm"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


@pytest.mark.parametrize("first", SUFFIXES)
@pytest.mark.parametrize("second", SUFFIXES)
def test_metadata_pass_from_any_format_to_any_other(tmp_path, first, second):
    write_picture(tmp_path / f"a{first}", picture(Metadata(ICC, exif_block(), XMP)))
    write_picture(tmp_path / f"b{second}", read_picture(tmp_path / f"a{first}"))
    kept = read_picture(tmp_path / f"b{second}").metadata
    assert (kept.icc, kept.xmp) == (ICC, XMP)
    assert parsed(kept.exif).get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] == "50 mm"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".bmp"])
def test_dots_an_inch_are_kept(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", picture(Metadata(dpi=(300, 150))))
    assert read_picture(tmp_path / f"a{suffix}").metadata.dpi == pytest.approx((300, 150), abs=0.02)


def test_more_dots_an_inch_than_a_jpeg_can_name_are_left_out_with_a_warning(tmp_path):
    dense = picture(Metadata(dpi=(2400, 2400)).scaled(32))
    with pytest.warns(UserWarning, match=r"a\.jpg: a resolution above 65535 DPI"):
        write_picture(tmp_path / "a.jpg", dense)
    assert read_picture(tmp_path / "a.jpg").metadata.dpi is None
    write_picture(tmp_path / "b.jpg", picture(Metadata(dpi=(65535, 65535))))
    assert read_picture(tmp_path / "b.jpg").metadata.dpi == (65535, 65535)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_a_file_without_metadata_gives_none(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", picture())
    assert read_picture(tmp_path / f"a{suffix}").metadata == Metadata()


def test_the_layout_of_a_tiff_is_not_taken_for_exif(tmp_path):
    write_picture(tmp_path / "a.tif", picture(Metadata(exif=exif_block())))
    kept = parsed(read_picture(tmp_path / "a.tif").metadata.exif)
    assert ExifTags.Base.StripOffsets not in kept
    assert ExifTags.Base.ImageWidth not in kept


def test_exif_cannot_change_the_layout_of_a_tiff(tmp_path):
    lying = exif_block(ImageWidth=999, BitsPerSample=1, Compression=7)
    write_picture(tmp_path / "a.tif", picture(Metadata(exif=lying)))
    assert torch.equal(read_picture(tmp_path / "a.tif").pixels, picture().pixels)


def test_a_turn_named_only_by_xmp_is_made_and_taken_out(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    write_picture(tmp_path / "a.png", picture(Metadata(xmp=xmp)))
    read = read_picture(tmp_path / "a.png")
    assert torch.equal(read.pixels, picture().pixels.rot90(-1, (1, 2)))
    assert b"Orientation" not in read.metadata.xmp


def test_a_cmyk_profile_stays_with_its_inks(tmp_path):
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg", icc_profile=b"a profile of four inks")
    assert read_picture(tmp_path / "a.jpg").metadata.icc == b"a profile of four inks"


def test_damaged_exif_is_left_out_with_a_warning_and_the_pixels_are_read(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png", exif=b"Exif\x00\x00garbage, not EXIF", icc_profile=ICC)
    with pytest.warns(UserWarning, match=r"a\.png: EXIF is damaged"):
        read = read_picture(tmp_path / "a.png")
    assert read.metadata == Metadata(icc=ICC)


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda exif: exif[:10] + b"\xff\xff\xff\x7f" + exif[14:], None),  # the directory is nowhere
        (lambda exif: exif[:-8], "M"),  # cut short within the last tag
    ],
)
def test_of_damaged_exif_what_can_be_read_is_kept_and_the_result_is_sound(tmp_path, damage, kept):
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Software] = "M", "x" * 40
    Image.new("L", (4, 4)).save(tmp_path / "a.png", exif=damage(exif.tobytes()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metadata = read_picture(tmp_path / "a.png").metadata
        write_picture(tmp_path / "b.png", Picture(torch.zeros(1, 4, 4), metadata=metadata.scaled(4)))
    assert caught
    assert all(str(one.message).startswith(str(tmp_path)) for one in caught)
    with warnings.catch_warnings(), Image.open(tmp_path / "b.png") as image:
        warnings.simplefilter("error")
        assert image.getexif().get(ExifTags.Base.Make) == kept


def test_bmp_names_what_it_has_no_place_for(tmp_path):
    with pytest.warns(UserWarning, match=r"a\.bmp: ICC, EXIF, XMP: cannot be stored in the result"):
        write_picture(tmp_path / "a.bmp", picture(Metadata(ICC, exif_block(Make="M"), b"<x/>")))


def test_what_is_too_long_for_a_jpeg_is_left_out_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"a\.jpg: EXIF is too long"):
        write_picture(tmp_path / "a.jpg", picture(Metadata(ICC, exif_block(ImageDescription="x" * 70000))))
    assert read_picture(tmp_path / "a.jpg").metadata == Metadata(icc=ICC)
