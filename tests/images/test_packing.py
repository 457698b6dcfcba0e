"""TIFF packed by what tifffile needs imagecodecs for, and what libtiff says of damaged ones."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from pictures import smooth
from sr3.data.decoding import decode_pixels
from sr3.errors import ImageError
from sr3.images import packing
from sr3.images.bands import read_bands
from sr3.images.files import read_picture
from sr3.images.picture import to_levels

DEEP = smooth(21, 35).astype(np.uint16) * 257
FLOATS = (DEEP / 65535).astype(np.float32)


@pytest.mark.parametrize("compression", ["lzw", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("planes", [False, True])
def test_16_bit_colours_in_planes_or_not_are_read_whatever_packs_them(tmp_path, compression, planes):
    array = np.ascontiguousarray(DEEP.transpose(2, 0, 1)) if planes else DEEP
    layout = "separate" if planes else "contig"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", planarconfig=layout, compression=compression)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.depth == 16
    assert (to_levels(picture.pixels, 65535) == DEEP).all()


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_every_verb_reads_grey_packed_by_lzw_alike(tmp_path, photometric):
    grey = DEEP[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric=photometric, compression="lzw", predictor=True)
    expected = 65535 - grey if photometric == "miniswhite" else grey
    assert (to_levels(read_picture(tmp_path / "a.tif").pixels, 65535)[..., 0] == expected).all()
    trained = decode_pixels((tmp_path / "a.tif").read_bytes(), "a.tif")
    np.testing.assert_allclose(trained.values[0] / 255, expected / 65535, atol=1e-6)


def test_floats_as_differences_of_bytes_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", FLOATS, photometric="rgb", compression="lzw", predictor=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages.first.predictor == 3
    found = (read_picture(tmp_path / "a.tif").pixels.permute(1, 2, 0).numpy() + 1) / 2
    np.testing.assert_allclose(found, FLOATS, atol=1e-6)


def test_bands_packed_by_lzw_are_read_and_cut_short_are_refused(tmp_path):
    bands = np.dstack([DEEP, DEEP[..., :2]])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, bands, photometric="minisblack", planarconfig="contig", compression="lzw")
    assert (to_levels(read_bands(path).pixels, 65535) == bands).all()
    tifffile.imwrite(path, bands, photometric="minisblack", planarconfig="contig")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match="is damaged or cut short"):
        read_bands(path)


@pytest.mark.parametrize("array", [smooth(21, 35), smooth(21, 35)[..., 0], DEEP], ids=["rgb", "grey", "deep"])
def test_differences_packed_by_packbits_are_taken_for_differences(tmp_path, array):
    """tifffile writes them; libtiff, and so Pillow, would give them for the pixels."""
    photometric, top = "rgb" if array.ndim == 3 else "minisblack", 255 if array.dtype == np.uint8 else 65535
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric, compression="packbits", predictor=True)
    found = to_levels(read_picture(tmp_path / "a.tif").pixels, top)
    assert (found == array.reshape(found.shape)).all()
    trained = decode_pixels((tmp_path / "a.tif").read_bytes(), "a.tif").values.permute(1, 2, 0).numpy()
    np.testing.assert_allclose(trained / 255, array.reshape(trained.shape) / top, atol=1e-6)


def test_without_the_package_the_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "find_spec", lambda _: None)
    for name, array, how in (("a", DEEP[..., 0], "is compressed by LZW"), ("b", FLOATS, "floating-point predictor")):
        options = {"compression": "lzw", "photometric": "miniswhite"}
        if name == "b":
            options = {"compression": "zlib", "photometric": "rgb", "predictor": True}
        tifffile.imwrite(tmp_path / f"{name}.tif", array, **options)
        with pytest.raises(ImageError, match=rf'{how}, which needs the package imagecodecs: pip install "sr3\[tiff\]"'):
            read_picture(tmp_path / f"{name}.tif")


@pytest.mark.parametrize("compression", ["lzw", "packbits", "lzma", "zstd"])
def test_what_unpacks_to_more_or_less_or_not_at_all_is_damaged(tmp_path, compression):
    path = tmp_path / "a.tif"
    for changed in ("more", "less", "broken"):
        tifffile.imwrite(path, DEEP[..., 0], photometric="miniswhite", compression=compression)
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tags = tiff.pages.first.tags
            place, count = tags["StripOffsets"].value[0], tags["StripByteCounts"].value[0]
            if changed == "more":
                tags["ImageWidth"].overwrite(34)
            if changed == "less":
                tags["ImageWidth"].overwrite(36)
        if changed == "broken":
            data = bytearray(path.read_bytes())
            data[place : place + count] = bytes(count)
            path.write_bytes(data)
        with pytest.raises(ImageError, match=r"a\.tif: is damaged"):
            read_picture(path)


def test_what_libtiff_prints_of_a_picture_becomes_one_warning_with_its_name(tmp_path, capfd):
    path = tmp_path / "a.tif"
    Image.fromarray(smooth(36, 48)).save(path, compression="jpeg")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.dataoffsets[0]
    end = data.index(b"\xff\xda", place)
    data[end + 40 : end + 42] = b"\xff\xc4"  # a marker in the midst of the pixels
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"a\.tif: is perhaps damaged, libtiff says: .*JPEG"):
        read_picture(path)
    assert capfd.readouterr().err == ""
