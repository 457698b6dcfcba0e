"""Arrays and TIFF of any bands and depth."""

import numpy as np
import pytest
import tifffile
import torch

from pictures import write_tiff
from sr3.errors import ImageError
from sr3.images.bands import band_header, band_size, read_bands, write_bands
from sr3.images.files import Picture

KINDS = [(np.uint8, 255, 8), (np.uint16, 65535, 16), (np.float32, 1, 32)]


def values(bands, kind, top):
    numbers = np.random.default_rng(0).uniform(0, 1, (9, 13, bands) if bands else (9, 13))
    return (numbers * top).round().astype(kind) if top > 1 else numbers.astype(kind)


@pytest.mark.parametrize(("kind", "top", "depth"), KINDS)
@pytest.mark.parametrize("bands", [0, 1, 2, 4, 7])
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_what_is_read_is_written_back_to_the_last_bit(tmp_path, kind, top, depth, bands, suffix):
    array, path = values(bands, kind, top), tmp_path / f"in{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        write_tiff(path, array)
    picture = read_bands(path)
    assert picture.pixels.shape == (max(1, bands), 9, 13)
    assert picture.depth == depth
    expected = array.astype(np.float64).reshape(9, 13, -1).transpose(2, 0, 1) / top * 2 - 1
    np.testing.assert_allclose(picture.pixels.numpy(), expected, atol=1e-6)
    write_bands(tmp_path / f"out{suffix}", picture)
    back = np.load(tmp_path / "out.npy") if suffix == ".npy" else tifffile.imread(tmp_path / "out.tif")
    assert back.dtype == kind
    np.testing.assert_allclose(back.reshape(9, 13, -1), array.reshape(9, 13, -1), atol=0 if top > 1 else 1e-6)
    assert band_header(path.read_bytes(), "in") == (13, 9, max(1, bands))


def test_a_suffix_in_capitals_is_written_under_its_name(tmp_path):
    picture = Picture(torch.rand(3, 5, 6) * 2 - 1)
    for name in ("A.NPY", "A.TIF"):
        write_bands(tmp_path / name, picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A.NPY", "A.TIF"]
    assert np.array_equal(np.load(tmp_path / "A.NPY"), tifffile.imread(tmp_path / "A.TIF"))


@pytest.mark.parametrize("kind", [">u2", ">f4", "<u2"])
def test_numbers_in_either_order_of_bytes_are_read(tmp_path, kind):
    array = values(3, np.dtype(kind), 65535 if kind[1] == "u" else 1)
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", array.astype(array.dtype.newbyteorder("=")))
    found, expected = (read_bands(tmp_path / name) for name in ("a.npy", "b.npy"))
    assert found.depth == expected.depth
    assert torch.equal(found.pixels, expected.pixels)


def test_the_size_of_a_file_is_read_without_its_pixels(tmp_path):
    np.save(tmp_path / "a.npy", values(4, np.uint16, 65535))
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(200)
    assert band_size(tmp_path / "a.npy") == (13, 9, 4)
    with pytest.raises(ImageError, match="is damaged"):
        read_bands(tmp_path / "a.npy")
    with pytest.raises(ImageError, match="cannot be read"):
        band_size(tmp_path / "b.npy")


def test_memory_that_does_not_hold_the_values_is_one_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 3.00 TiB")

    np.save(tmp_path / "a.npy", values(3, np.uint8, 255))
    monkeypatch.setattr(np, "ascontiguousarray", fail)
    with pytest.raises(ImageError, match="does not fit in memory"):
        read_bands(tmp_path / "a.npy")


def test_planar_tiff_is_read_as_its_bands(tmp_path):
    array = values(4, np.uint16, 65535)
    tifffile.imwrite(
        tmp_path / "p.tif", array.transpose(2, 0, 1).copy(), photometric="minisblack", planarconfig="separate"
    )
    picture = read_bands(tmp_path / "p.tif")
    np.testing.assert_allclose(((picture.pixels + 1) / 2 * 65535).round().numpy(), array.transpose(2, 0, 1), atol=0.51)
    assert band_header((tmp_path / "p.tif").read_bytes(), "p") == (13, 9, 4)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((2, 2, 2, 2), np.uint8), "not that of an image"),
        (np.zeros((0, 4), np.uint8), "not that of an image"),
        (np.zeros((4, 4, 65), np.uint8), "at most 64 bands"),
        (np.full((4, 4), 7.0, np.float32), "floats outside 0 to 1"),
        (np.full((4, 4), np.nan, np.float32), "or NaN"),
        (np.zeros((4, 4), np.int64), "holds int64; give uint8, uint16"),
        (np.array([[{}]], dtype=object), "is damaged or of an unsupported kind"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, array, complaint):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ImageError, match=complaint):
        read_bands(tmp_path / "a.npy")


@pytest.mark.parametrize(("data", "complaint"), [(b"", "is empty"), (b"hello", "neither"), (b"II*\0xx", "damaged")])
def test_files_that_are_no_bands_are_refused(tmp_path, data, complaint):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ImageError, match=complaint):
        read_bands(tmp_path / "a.npy")


def test_bands_do_not_go_into_other_files(tmp_path):
    with pytest.raises(ImageError, match=r"cannot hold 4 bands; use one of \.npy"):
        write_bands(tmp_path / "a.png", Picture(torch.zeros(4, 3, 3)))
