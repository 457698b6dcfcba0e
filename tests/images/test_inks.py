"""CMYK: kept as it is where the format holds it, converted with a word where not."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from sr3.images.files import Metadata, Picture, read_picture, write_picture


def inks(height=6, width=8):
    return np.random.default_rng(0).integers(0, 256, (height, width, 4)).astype(np.uint8)


def test_cmyk_survives_a_round_trip_ink_by_ink(tmp_path):
    array = inks()
    Image.fromarray(array, "CMYK").save(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    assert (picture.space, picture.pixels.shape) == ("cmyk", (4, 6, 8))
    assert torch.equal(((1 - picture.pixels) * 127.5).round().byte(), torch.from_numpy(array).permute(2, 0, 1))
    write_picture(tmp_path / "b.tif", picture)
    with Image.open(tmp_path / "b.tif") as image:
        assert image.mode == "CMYK"
        assert np.array_equal(np.asarray(image), array)


def test_a_jpeg_of_inks_is_not_turned_into_its_negative(tmp_path):
    flat = np.full((16, 16, 4), (200, 30, 0, 90), np.uint8)
    Image.fromarray(flat, "CMYK").save(tmp_path / "a.jpg", quality=95)
    write_picture(tmp_path / "b.jpg", read_picture(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "CMYK"
        assert np.abs(np.asarray(image).astype(int) - flat).max() <= 3


def test_16_bit_inks_keep_their_bits(tmp_path):
    array = np.random.default_rng(1).integers(0, 65536, (5, 7, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="separated")
    picture = read_picture(tmp_path / "a.tif")
    assert (picture.space, picture.depth) == ("cmyk", 16)
    write_picture(tmp_path / "b.tif", picture)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), array)


@pytest.mark.parametrize("icc", [None, b"no profile at all"])
def test_without_a_profile_inks_become_light_by_arithmetic_and_it_is_said(tmp_path, icc):
    pixels = torch.tensor([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])[:, None]
    picture = Picture(pixels, metadata=Metadata(icc=icc), space="cmyk")
    with pytest.warns(UserWarning, match=r"a\.png: CMYK is converted to RGB without a profile"):
        write_picture(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).tolist() == [[[255, 255, 255], [0, 255, 255]]]
        assert "icc_profile" not in image.info
