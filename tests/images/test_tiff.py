"""TIFF of floats, of planes and of inverted grey, made by tifffile, and what else such files can hold."""

import io
import re
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from sr3.errors import ImageError
from sr3.images import by_library, files
from sr3.images.files import Picture, picture_size, read_picture, write_picture
from sr3.images.tiff import Pages, pages_of

TOPS = {np.uint8: 255, np.uint16: 65535, np.float16: 1, np.float32: 1, np.float64: 1}
CHANNELS = {1: "minisblack", 3: "rgb", 4: "rgb"}
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def drawn(channels, kind, height=21, width=35):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return (np.random.default_rng(channels).random(shape) * TOPS[kind]).astype(kind)


def save(path, array, *, planes=False, photometric="rgb", **options):
    """Write (h, w) or (h, w, c), the fourth channel as alpha."""
    if array.ndim == 3:
        options |= {"planarconfig": "separate" if planes else "contig"}
        options |= {"extrasamples": ["unassalpha"]} if array.shape[2] == 4 and "extrasamples" not in options else {}
        array = array.transpose(2, 0, 1).copy() if planes else array
    tifffile.imwrite(path, array, photometric=photometric, metadata=None, **options)
    return path


def values(picture):
    """Give what the image stands for, from 0 to 1, (h, w, c), alpha last."""
    planes = [(picture.pixels.double() + 1) / 2, *([] if picture.alpha is None else [picture.alpha.double()])]
    return torch.cat(planes).permute(1, 2, 0).numpy()


def refusal(path):
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.slow
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 4}])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize(
    ("channels", "kind"),
    [(1, np.float16), (1, np.float32), (1, np.float64), (3, np.float16), (3, np.float32), (4, np.float32)],
)
def test_floats_are_read_and_stay_floats(tmp_path, channels, kind, planes, options, order):
    array = drawn(channels, kind)
    path = save(tmp_path / "a.tif", array, planes=planes, photometric=CHANNELS[channels], byteorder=order, **options)
    assert picture_size(path) == (35, 21)
    picture = read_picture(path)
    assert picture.depth == 32
    np.testing.assert_allclose(values(picture), array.reshape(21, 35, -1), atol=1e-6)
    write_picture(tmp_path / "b.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as written:
        assert written.pages.first.photometric == (2 if channels > 1 else 1)
        assert [int(extra) for extra in written.pages.first.extrasamples] == ([2] if channels == 4 else [])
        back = written.pages.first.asarray()
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, array, atol=1e-6)
    np.testing.assert_allclose(values(read_picture(tmp_path / "b.tif")), values(picture), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": 2}, {"tile": (16, 32)}])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_in_planes_keep_them_all(tmp_path, channels, options):
    array = drawn(channels, np.uint16)
    picture = read_picture(save(tmp_path / "a.tif", array, planes=True, **options))
    assert picture.depth == 16
    write_picture(tmp_path / "b.tif", picture)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), array)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("kind", "depth"), [(np.uint8, 8), (np.uint16, 16), (np.float32, 32)])
def test_grey_in_which_0_is_white_is_light_afterwards(tmp_path, kind, depth, compression):
    array = drawn(1, kind)
    picture = read_picture(save(tmp_path / "a.tif", array, photometric="miniswhite", compression=compression))
    assert picture.depth == depth
    write_picture(tmp_path / "b.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as written:
        assert written.pages.first.photometric == 1
        np.testing.assert_allclose(written.asarray(), TOPS[kind] - array, atol=0 if depth < 32 else 1e-6)


def test_differences_of_floats_are_read_where_they_can_be(tmp_path):
    floats = drawn(1, np.float32)
    differences = np.diff(floats.view(np.uint32), axis=1, prepend=np.uint32(0)).astype("<u4")
    path = save(tmp_path / "a.tif", differences.view(np.float32), photometric="minisblack", compression="zlib")
    data = bytearray(path.read_bytes())
    # The predictor takes the place of the software's name, for tifffile would ask for a further package to write it.
    place = data.find(struct.pack("<HH", 305, 2))
    data[place : place + 12] = struct.pack("<HHIHH", 317, 3, 1, 2, 0)
    path.write_bytes(data)
    np.testing.assert_allclose(values(read_picture(path))[..., 0], floats, atol=1e-7)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_carried_out_as_that_of_other_tiffs(tmp_path, orientation):
    for name, kind in (("a.tif", np.uint8), ("b.tif", np.float32)):
        array = (np.arange(5 * 7 * 3).reshape(5, 7, 3) * (TOPS[kind] / 255)).astype(kind)
        save(tmp_path / name, array, extratags=[(274, 3, 1, orientation, True)])
    expected, found = (read_picture(tmp_path / name) for name in ("a.tif", "b.tif"))
    torch.testing.assert_close(found.pixels, expected.pixels)
    write_picture(tmp_path / "c.tif", found)
    torch.testing.assert_close(read_picture(tmp_path / "c.tif").pixels, found.pixels)


@pytest.mark.parametrize("big", [False, True])
def test_metadata_are_those_that_other_tiffs_keep(tmp_path, big):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    extras = [(700, 1, len(XMP), XMP, True), (315, 2, 4, "Ada", True)]
    options = {"iccprofile": profile, "extratags": extras, "resolution": (100, 50), "resolutionunit": "centimeter"}
    for name, kind in (("a.tif", np.uint8), ("b.tif", np.float32)):
        save(tmp_path / name, drawn(3, kind), bigtiff=big and kind == np.float32, **options)
    expected, found = (read_picture(tmp_path / name).metadata for name in ("a.tif", "b.tif"))
    assert (found.icc, found.xmp) == (expected.icc, expected.xmp) == (profile, XMP)
    assert found.dpi == pytest.approx(expected.dpi)
    assert found.dpi == pytest.approx((254, 127))
    assert b"Ada" in found.exif
    assert b"Ada" in expected.exif
    picture = read_picture(tmp_path / "b.tif")
    write_picture(tmp_path / "c.tif", picture)
    assert tifffile.imread(tmp_path / "c.tif").dtype == np.float32
    kept = read_picture(tmp_path / "c.tif").metadata
    assert (kept.icc, kept.xmp) == (profile, XMP)
    assert kept.dpi == pytest.approx((254, 127), abs=0.01)
    assert b"Ada" in kept.exif


def test_the_exposure_of_a_float_tiff_travels(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x8827] = 200
    write_picture(
        tmp_path / "a.tif", Picture(torch.zeros(3, 4, 5), depth=32, metadata=files.Metadata(exif=exif.tobytes()))
    )
    kept = Image.Exif()
    kept.load(read_picture(tmp_path / "a.tif").metadata.exif)
    assert kept.get_ifd(0x8769)[0x8827] == 200


def test_of_several_pictures_the_first_is_read_with_a_warning(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 4, 5), np.float32), photometric="minisblack")
    with pytest.warns(UserWarning, match=r"a\.tif: holds several images, only the first is read"):
        assert read_picture(tmp_path / "a.tif").pixels.shape == (1, 4, 5)


def test_three_bands_are_a_picture_in_colour(tmp_path):
    array = drawn(3, np.float32)
    picture = read_picture(save(tmp_path / "a.tif", array, photometric="minisblack"))
    np.testing.assert_allclose(values(picture), array, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "options", "complaint"),
    [
        (np.full((4, 5), 1.5, np.float32), {"photometric": "minisblack"}, "floats outside 0 to 1, or NaN; scale them"),
        (np.full((4, 5), -0.1, np.float64), {"photometric": "minisblack"}, "floats outside 0 to 1"),
        (np.full((4, 5, 3), np.nan, np.float32), {}, "or NaN"),
        (np.full((4, 5), 1e300), {"photometric": "minisblack"}, "floats outside 0 to 1"),
        (np.zeros((4, 5, 3), np.uint32), {}, "whole numbers of 32 bits; give uint8"),
        (np.zeros((4, 5, 3), np.float32), {"photometric": "cielab"}, "its colours are CIELAB"),
        (np.zeros((4, 5, 4), np.float32), {"extrasamples": ["assocalpha"]}, "has premultiplied"),
        (
            np.zeros((4, 5, 4), np.float32),
            {"extrasamples": ["unspecified"]},
            "only the first 3 are grey or colour",
        ),
        (np.zeros((4, 5, 5), np.float32), {"photometric": "minisblack"}, "only the first 1 are grey"),
        (np.zeros((4, 5, 5), np.uint16), {"planes": True, "photometric": "minisblack"}, "has 5 channels"),
        (np.zeros((4, 5, 3), np.uint8), {"compression": "jpeg2000"}, "compressed by JPEG2000"),
        (np.zeros((16, 16, 16), np.float32), {"volume": True, "tile": (16, 16, 16)}, "is a volume"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_odd_is_refused_in_one_line(tmp_path, array, options, complaint):
    if options.get("volume"):
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", volumetric=True, tile=options["tile"])
    else:
        save(tmp_path / "a.tif", array, **options)
    assert complaint in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("tag", "value", "complaint"),
    [
        ("Compression", 5, "is damaged"),
        ("Compression", 4242, "compressed by 4242"),
        ("SampleFormat", 2, "whole numbers of 32 bits"),
        ("ImageWidth", 60000, "is damaged"),
        ("RowsPerStrip", 1, "strips or tiles are missing"),
        ("StripOffsets", 10**9, "is damaged or cut short"),
        ("StripByteCounts", 10, "is damaged"),
    ],
)
def test_a_tag_that_lies_is_found_out(tmp_path, tag, value, complaint):
    path = save(tmp_path / "a.tif", drawn(3, np.float32), photometric="rgb", compression="zlib", rowsperstrip=21)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        field = tiff.pages.first.tags[tag]
        field.overwrite((value,) * field.count if field.count > 1 else value)
    assert complaint in refusal(path)


def test_a_predictor_of_floats_is_refused_by_its_number(tmp_path):
    path = save(tmp_path / "a.tif", drawn(3, np.uint16), planes=True, compression="zlib", predictor=2)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["Predictor"].overwrite(3)
    assert "uses predictor 3, which is not supported; save it" in refusal(path)


def test_a_size_beyond_the_limit_is_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    path = save(tmp_path / "a.tif", drawn(3, np.float32))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for tag in ("ImageWidth", "ImageLength"):
            tiff.pages.first.tags[tag].overwrite(60000)
    monkeypatch.setattr(by_library, "read_tiff", lambda _: pytest.fail("the pixels were read"))
    assert "holds 60000 x 60000 pixels" in refusal(path)
    with pytest.raises(ImageError, match="60000 x 60000"):
        picture_size(path)


@pytest.mark.slow
def test_a_small_picture_that_unpacks_to_more_is_refused_without_unpacking_it(tmp_path):
    path = save(tmp_path / "a.tif", np.zeros((8, 8), np.float32), photometric="minisblack", compression="zlib")
    bomb = zlib.compress(bytes(2**26), 9)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages.first.tags
        tags["StripOffsets"].overwrite(path.stat().st_size)
        tags["StripByteCounts"].overwrite(len(bomb))
    with path.open("ab") as file:
        file.write(bomb)
    asked, unpacker = [], zlib.decompressobj

    class Watched:
        def decompress(self, data, most):
            asked.append(most)
            return unpacker().decompress(data, most)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "decompressobj", Watched)
        assert "a strip or tile has the wrong size" in refusal(path)
    assert asked == [8 * 8 * 4 + 1]


def test_a_tile_far_larger_than_the_picture_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", drawn(3, np.float32), tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for tag in ("TileWidth", "TileLength"):
            tiff.pages.first.tags[tag].overwrite(32000)
    assert "tiles of 32000x32000" in refusal(path)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_a_file_cut_anywhere_is_refused_and_never_read_in_part(tmp_path, options):
    whole = save(tmp_path / "a.tif", drawn(3, np.float32), **options).read_bytes()
    for share in np.linspace(0.01, 0.99, 12):
        (tmp_path / "b.tif").write_bytes(whole[: int(len(whole) * share)])
        refusal(tmp_path / "b.tif")


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_with_any_bytes_changed_is_read_or_refused_in_one_line(tmp_path, capfd, compression):
    whole = save(tmp_path / "a.tif", drawn(3, np.float32, 8, 9), compression=compression).read_bytes()
    changed, random = 0, np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(0, 260, 3):  # the header and the directory
            data[place] = random.integers(256)
        (tmp_path / "b.tif").write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_picture(tmp_path / "b.tif")
            except ImageError as error:
                assert "\n" not in str(error)  # noqa: PT017
                changed += 1
    assert changed > 20
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_what_tifffile_says_of_a_damaged_file_is_not_printed(tmp_path):
    whole = save(tmp_path / "a.tif", drawn(3, np.float32)).read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:100])
    code = "import sys, pathlib; from sr3.images.files import picture_size; picture_size(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.tif"], capture_output=True, text=True, check=False)
    assert "ImageError" in done.stderr
    assert "TiffTag" not in done.stderr
    assert "TiffPage" not in done.stderr


def test_floats_of_more_than_a_tiff_can_address_are_refused_before_the_work(tmp_path):
    large = Picture(torch.zeros(1, 1, 1).expand(3, 19000, 19000), depth=32)
    with pytest.raises(ImageError, match="TIFF allows at most 4 GiB; use"):
        files.check_can_hold(tmp_path / "a.tif", large)
    files.check_can_hold(tmp_path / "a.tif", Picture(large.pixels, depth=16))


@pytest.mark.parametrize(
    ("shape", "kind", "options", "complaint"),
    [
        ((8, 8, 4), np.uint16, {"extrasamples": ["assocalpha"]}, "has premultiplied .* save it with straight"),
        ((8, 8, 4), np.uint8, {"extrasamples": ["assocalpha"], "planes": True}, "has premultiplied"),
        ((8, 8), np.complex64, {"photometric": "minisblack"}, "holds complex numbers of 64 bits"),
        (
            (8, 8, 5),
            np.uint8,
            {"photometric": "separated", "extrasamples": ["unassalpha"]},
            "its colours are SEPARATED",
        ),
        ((8, 8, 3), np.uint16, {"bitspersample": 12}, "holds whole numbers of 12 bits"),
        ((3, 16, 16), np.uint8, {"photometric": "minisblack", "volumetric": True, "tile": (3, 16, 16)}, "is a volume"),
    ],
)
def test_what_is_whole_but_not_read_is_not_called_damaged(tmp_path, shape, kind, options, complaint):
    path, array = tmp_path / "a.tif", np.ones(shape, kind)
    if "volumetric" in options:
        tifffile.imwrite(path, array, metadata=None, **options)
    else:
        save(path, array, **options)
    assert re.search(complaint, refusal(path))


def test_reduced_copies_and_masks_are_no_other_images(tmp_path):
    array = drawn(3, np.uint8, 64, 64)
    for name, kinds in {"a": (1, 1), "b": (4,), "c": (0,)}.items():
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            file.write(array, photometric="rgb", metadata=None)
            for kind in kinds:
                page = array[::2, ::2] if kind != 4 else array[..., 0] > 0
                photometric = {0: "rgb", 1: "rgb", 4: 4}[kind]
                file.write(page, photometric=photometric, subfiletype=kind, metadata=None)
    said = {"a": None, "b": "holds a mask, which is left out; --geo keeps one", "c": "holds several images"}
    for name, text in said.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert np.array_equal((values(read_picture(tmp_path / f"{name}.tif")) * 255).round(), array)
        assert len(caught) == (text is not None)
        assert text is None or text in str(caught[0].message)


def test_pages_that_lead_back_to_the_first_are_one_image(tmp_path):
    path, array = tmp_path / "a.tif", drawn(3, np.uint8)
    save(path, array)
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    path.write_bytes(data)
    assert pages_of(io.BytesIO(bytes(data))) == Pages(1, has_mask=False)
    assert np.array_equal((values(read_picture(path)) * 255).round(), array)


def test_of_many_pages_only_the_first_are_looked_at(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(200):
            file.write(np.zeros((4, 4), np.uint8), photometric="minisblack", metadata=None)
    with pytest.warns(UserWarning, match="holds several images"):
        read_picture(tmp_path / "a.tif")
