"""Numbers that use a part of their range: stretched, enlarged, put back."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import sr3
from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.errors import ConfigError, ImageError
from sr3.images.picture import Numbers
from sr3.upscaling.value_range import find_range, parse_range

GREY = smooth(12, 16)[..., 1].astype(np.uint16)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("model") / "m.safetensors")


def enlarged(model, folder, array, *options):
    Image.fromarray(array).save(folder / "in.png")
    out = folder / "out.png"
    assert run(["upscale", str(folder / "in.png"), "-o", str(out), "--model", str(model), "--overwrite", *options]) == 0
    with Image.open(out) as image:
        return np.asarray(image).astype(np.int64)


@pytest.mark.slow
def test_12_bits_in_16_are_enlarged_as_what_they_show(model, tmp_path):
    """The same image in all of 16 bits, and in 12: the results differ by rounding alone."""
    top12, top16 = 4095, 65535
    whole = enlarged(model, tmp_path, (GREY / 255 * top16).round().astype(np.uint16))
    part = enlarged(model, tmp_path, (GREY / 255 * top12).round().astype(np.uint16), "--range", "0,4095")
    found = enlarged(model, tmp_path, (GREY / 255 * top12).round().astype(np.uint16), "--range", "auto")
    assert part.max() <= top12
    np.testing.assert_array_equal(part, found)
    assert np.abs(part / top12 - whole / top16).mean() < 0.004


@pytest.mark.slow
@pytest.mark.filterwarnings("always")
def test_a_narrow_picture_is_warned_of_and_a_wide_one_is_not(model, tmp_path, capsys):
    enlarged(model, tmp_path, GREY * 257)
    assert "uses only" not in capsys.readouterr().err
    enlarged(model, tmp_path, GREY * 16)
    assert "in.png: uses only the lower 3,553 of 65,536 levels" in capsys.readouterr().err
    enlarged(model, tmp_path, GREY * 16, "--range", "auto")
    assert "uses only" not in capsys.readouterr().err


@pytest.mark.slow
def test_floats_of_a_tiff_are_stretched_between_their_own_ends(model, tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", (0.2 + GREY / 255 * 0.1).astype(np.float32))
    command = ["upscale", str(tmp_path / "in.tif"), "-o", str(tmp_path / "out.tif"), "--model", str(model)]
    assert run([*command, "--range", "0.2,0.3"]) == 0
    out = tifffile.imread(tmp_path / "out.tif")
    assert out.min() >= 0.2 - 1e-6
    assert out.max() <= 0.3 + 1e-6


@pytest.mark.slow
def test_the_library_takes_the_numbers_of_what_it_is_given(model):
    loaded = sr3.load(str(model))
    narrow = (GREY / 255 * 4095).round().astype(np.uint16)
    out = loaded.upscale(narrow, steps=2, values=(0, 4095))
    assert out.dtype == np.uint16
    assert out.max() <= 4095
    np.testing.assert_array_equal(out, loaded.upscale(narrow, steps=2, values="auto"))
    with pytest.warns(UserWarning, match='values="auto"'):
        loaded.upscale(narrow, steps=1)
    tensor = torch.from_numpy(GREY.astype(np.float32) / 255)[None] * 0.2 - 0.5
    stretched = loaded.upscale(tensor, steps=2, values=(-0.5, -0.3))
    assert -0.5 - 1e-5 <= float(stretched.min()) <= float(stretched.max()) <= -0.3 + 1e-5
    with pytest.raises(ImageError, match="is not within the 0 to 65535"):
        loaded.upscale(narrow, steps=1, values=(0, 70000))


@pytest.mark.parametrize(
    ("largest", "end"), [(1, 1), (100, 127), (255, 255), (1000, 1023), (4000, 4095), (65000, 65535)]
)
def test_auto_takes_as_many_bits_as_the_largest_needs(largest, end):
    pixels = torch.tensor([-1.0, largest / 65535 * 2 - 1])
    found = find_range("auto", pixels, Numbers.of_depth(16), "p")
    assert found.low == -1
    assert (found.high + 1) / 2 * 65535 == pytest.approx(end)


@pytest.mark.parametrize("text", ["5", "a,b", "5,5", "9,1", "nan,1", ""])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="write auto"):
        parse_range(text)
