"""One reader for all verbs: what a file holds is the same in upscaling, training, preparing, evaluating and memory."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import sr3
from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.data.decoding import decode_pixels, image_header
from sr3.data.sources import FolderSource
from sr3.errors import ImageError, UnusableError
from sr3.evaluation.cases import read_image
from sr3.images.deep import deep_png
from sr3.images.files import read_picture

COLOUR = smooth(24, 32)
GREY16 = smooth(24, 32)[..., 1].astype(np.uint16) * 257
FOUR = np.dstack([COLOUR, 255 - COLOUR[..., 1]])


def in_training(path: Path) -> torch.Tensor:
    """Values in [-1, 1], as training has them; the header agrees."""
    pixels = decode_pixels(path.read_bytes(), str(path))
    width, height, channels = image_header(path.read_bytes(), str(path))
    assert (channels, height, width) == tuple(pixels.values.shape)
    return pixels.values.float() / 127.5 - 1


def in_evaluation(path: Path) -> torch.Tensor:
    return read_image(FolderSource([path], path.parent), 0)[0]


def refusals(path: Path) -> set[str]:
    """What each verb says of a file."""
    said = set()
    for reading in (read_picture, in_training, in_evaluation):
        with pytest.raises((ImageError, UnusableError)) as refused:
            reading(path)
        said.add(str(refused.value))
    return said


def test_grey_of_16_bits_where_0_is_white_is_the_same_everywhere(tmp_path):
    tifffile.imwrite(tmp_path / "white.tif", 65535 - GREY16, photometric="miniswhite")
    expected = torch.from_numpy(GREY16.astype(np.float64) / 32767.5 - 1).float()[None]
    for reading in (lambda path: read_picture(path).pixels, in_training, in_evaluation):
        torch.testing.assert_close(reading(tmp_path / "white.tif"), expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_pillow_image_where_0_is_white_is_enlarged_as_what_it_shows(tmp_path):
    model = sr3.load(str(write_random_model(tmp_path / "m.safetensors")))
    tifffile.imwrite(tmp_path / "white.tif", 65535 - GREY16, photometric="miniswhite")
    Image.fromarray(GREY16).save(tmp_path / "black.png")
    with Image.open(tmp_path / "white.tif") as white, Image.open(tmp_path / "black.png") as black:
        assert white.mode.startswith("I;16")
        one, other = (np.asarray(model.upscale(image, steps=1)) for image in (white, black))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_evaluating_a_white_picture_against_the_black_one_finds_no_difference(tmp_path, capsys):
    (tmp_path / "white").mkdir()
    (tmp_path / "black").mkdir()
    tifffile.imwrite(tmp_path / "white" / "a.tif", 65535 - GREY16, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "black" / "a.tif", GREY16, photometric="minisblack")
    command = ["evaluate", "--pred", str(tmp_path / "white"), "--truth", str(tmp_path / "black"), "--json"]
    assert run(command) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures_of(figures, "ssim") == pytest.approx(1.0)


def figures_of(report: object, key: str) -> float:
    """Find the first number under a key, wherever it lies."""
    if isinstance(report, dict):
        if key in report and isinstance(report[key], int | float):
            return float(report[key])
        report = list(report.values())
    if isinstance(report, list):
        for part in report:
            if (found := figures_of(part, key)) == found:
                return found
    return float("nan")


def test_inks_in_tiff_are_those_in_jpeg(tmp_path):
    inks = Image.fromarray(COLOUR).convert("CMYK")
    inks.save(tmp_path / "a.tif")
    expected = np.asarray(inks.convert("RGB")).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(in_training(tmp_path / "a.tif"), expected, atol=1e-6)
    (tmp_path / "jpeg").mkdir()
    inks.save(tmp_path / "jpeg" / "a.jpg", quality=100, subsampling=0)
    assert in_evaluation(tmp_path / "a.tif").shape[0] == in_evaluation(tmp_path / "jpeg" / "a.jpg").shape[0] == 4
    difference = (in_evaluation(tmp_path / "a.tif") - in_evaluation(tmp_path / "jpeg" / "a.jpg")).abs().mean()
    assert float(difference) < 0.02


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("bands", ["rgb and near infrared", "grey and another", "minisblack"])
def test_bands_that_are_no_colour_are_kept_in_training_and_refused_in_one_line_elsewhere(tmp_path, deep, bands):
    array, how = {
        "rgb and near infrared": (FOUR, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        "grey and another": (FOUR[..., :2], {"photometric": "minisblack", "extrasamples": ["unspecified"]}),
        "minisblack": (FOUR, {"photometric": "minisblack", "planarconfig": "contig"}),
    }[bands]
    array = np.ascontiguousarray(array.astype(np.uint16) * 257 if deep else array)
    tifffile.imwrite(tmp_path / "a.tif", array, **how)
    top = 65535 if deep else 255
    expected = torch.from_numpy(array.astype(np.float64).transpose(2, 0, 1) / top * 2 - 1).float()
    torch.testing.assert_close(in_training(tmp_path / "a.tif"), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(in_evaluation(tmp_path / "a.tif"), expected, rtol=0, atol=1e-6)
    with pytest.raises(ImageError, match=rf"has {array.shape[2]} channels, and only the first \d are grey or colour"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["signed", "lab", "damaged", "volume"])
def test_what_one_verb_refuses_every_verb_refuses_in_the_same_words(tmp_path, kind):
    path = tmp_path / "a.tif"
    match kind:
        case "signed":
            tifffile.imwrite(path, (COLOUR.astype(np.int16) - 128).astype(np.int8), photometric="rgb")
        case "lab":
            Image.fromarray(COLOUR).convert("LAB").save(path)
        case "damaged":
            Image.fromarray(COLOUR).save(path)
            path.write_bytes(path.read_bytes()[:900])
        case "volume":
            tifffile.imwrite(
                path, np.zeros((4, 16, 16), np.float32), photometric="minisblack", volumetric=True, tile=(4, 16, 16)
            )
    said = refusals(path)
    assert len(said) == 1, said
    assert said.pop().startswith(f"{path}: ")


def test_alpha_of_a_tiff_is_no_band(tmp_path):
    whole = np.dstack([COLOUR, np.full_like(COLOUR[..., 0], 255)])
    tifffile.imwrite(tmp_path / "a.tif", whole, photometric="rgb", extrasamples=["unassalpha"])
    expected = torch.from_numpy(COLOUR.transpose(2, 0, 1) / 127.5 - 1).float()
    torch.testing.assert_close(in_training(tmp_path / "a.tif"), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(in_evaluation(tmp_path / "a.tif"), expected, rtol=0, atol=1e-6)
    whole[:4, :4, 3] = 0
    tifffile.imwrite(tmp_path / "b.tif", whole, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(UnusableError, match="partly transparent"):
        in_training(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="partly transparent"):
        in_evaluation(tmp_path / "b.tif")


def test_16_bits_of_a_colour_png_are_all_learnt_from_and_refused_where_8_are_prepared(tmp_path, capsys):
    rng = np.random.default_rng(1)
    deep = COLOUR.astype(np.uint16) * 256 + rng.integers(0, 256, COLOUR.shape, dtype=np.uint16)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.png"
    path.write_bytes(deep_png(deep, {}))
    pixels = decode_pixels(path.read_bytes(), "a.png")
    assert pixels.step == 255 / 65535
    np.testing.assert_array_equal((pixels.values * 257).round().numpy().astype(np.uint16), deep.transpose(2, 0, 1))
    command = ["prepare", "folder", str(tmp_path / "in"), str(tmp_path / "out"), "--size", "16", "--workers", "1"]
    assert run(command) != 0
    assert "has more than 8 bits per channel" in capsys.readouterr().err


def test_a_member_of_a_shard_is_read_as_a_file_is(tmp_path):
    from sr3.data.opening import open_source

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, 65535 - GREY16, photometric="miniswhite")
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        entry = tarfile.TarInfo("a.tif")
        entry.size = len(buffer.getvalue())
        tar.addfile(entry, io.BytesIO(buffer.getvalue()))
    source = open_source(str(tmp_path / "s.tar"))
    expected = torch.from_numpy(GREY16.astype(np.float64) / 32767.5 - 1).float()[None]
    torch.testing.assert_close(read_image(source, 0)[0], expected, rtol=0, atol=1e-6)
