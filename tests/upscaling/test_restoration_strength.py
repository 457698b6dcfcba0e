"""How strongly an input is cleaned: by the quality of a JPEG file, or as is asked for; the same in every way in."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sr3
from pictures import smooth, write_random_model, write_restoration
from sr3.cli.app import run
from sr3.errors import ConfigError
from sr3.exchange.joining import join, read_parts
from sr3.sampling.mean_tiles import restored
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.jpeg_quality import strength_for

pytestmark = pytest.mark.slow

ONE_STEP = ("sampling.sampler=ddim", "sampling.eta=0", "sampling.steps=1")


@pytest.fixture
def models(tmp_path):
    """A model that cleans its input, and the same that does not."""
    clean = write_restoration(tmp_path / "clean.safetensors")
    alone = write_random_model(tmp_path / "alone.safetensors", settings=ONE_STEP)
    join(read_parts(str(clean), str(alone)), tmp_path / "joined.safetensors")
    return tmp_path / "joined.safetensors", alone


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(smooth(24, 32)).save(tmp_path / "photo.jpg", quality=95)
    return tmp_path / "photo.jpg"


def upscaled(model, source, *options):
    out = source.with_name("out.png")
    assert run(["upscale", str(source), "-o", str(out), "--model", str(model), "--overwrite", *options]) == 0
    return np.asarray(Image.open(out))


@pytest.mark.parametrize(
    ("quality", "strength"), [(100, 0), (97.5, 0.25), (95, 0.5), (90, 0.8), (75, 1.1), (50, 1.3), (5, 1.3)]
)
def test_a_better_file_is_cleaned_less(quality, strength):
    assert strength_for(quality) == pytest.approx(strength)
    assert strength_for(None) is None


@pytest.mark.parametrize("strength", [0, 0.25, 1, 1.5])
def test_the_strength_is_a_factor_of_what_changes(models, strength):
    model = sr3.load(str(models[0]), device="cpu", dtype="float32", restoration=strength)
    low_res = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    upscaler = open_upscaler(str(models[0]), device="cpu", dtype="float32")
    full = upscaler.cleaned(low_res).images
    inside = full.abs() < 1  # where it is not held in the range before
    found = model._upscaler_for(low_res).cleaned(low_res).images
    expected = (low_res + strength * (full - low_res)).clamp(-1, 1)
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-5)
    assert float(found.abs().max()) <= 1


def test_at_0_it_is_the_model_alone(models, photo):
    joined, alone = models
    expected = upscaled(alone, photo)
    assert np.array_equal(upscaled(joined, photo, "--restoration", "0"), expected)
    image = np.array(Image.open(photo))
    assert np.array_equal(sr3.load(str(joined), restoration=0).upscale(image), sr3.load(str(alone)).upscale(image))
    assert not np.array_equal(upscaled(joined, photo, "--restoration", "1"), expected)


def test_auto_is_by_the_quality_of_the_file_in_every_way_in(models, photo):
    joined, _ = models
    found = upscaled(joined, photo)
    assert np.array_equal(upscaled(joined, photo, "--restoration", "auto"), found)
    full, half = (upscaled(joined, photo, "--restoration", part) for part in ("1", "0.5"))
    assert not np.array_equal(found, full)
    assert np.abs(found.astype(int) - half).mean() < 0.1 * np.abs(full.astype(int) - half).mean()
    model = sr3.load(str(joined))
    with Image.open(photo) as image:
        assert np.array_equal(np.asarray(model.upscale(image)), found)
    target = model.upscale_file(photo, photo.with_name("file.png"))
    assert np.array_equal(np.asarray(Image.open(target)), found)
    with Image.open(photo) as image:
        image.save(photo.with_suffix(".png"))
    assert np.array_equal(upscaled(joined, photo.with_suffix(".png")), full), "a file without its quality"


def test_how_strongly_is_said_and_recorded(models, photo, capsys):
    """The file has quality 95, which asks for 0.5."""
    joined, alone = models
    lines = photo.with_name("lines.jsonl")
    for options in ((), ("--restoration", "0.25"), ("--restoration", "0")):
        upscaled(joined, photo, "--manifest", str(lines), *options)
    upscaled(alone, photo, "--manifest", str(lines))
    said = capsys.readouterr().out
    assert [f"cleaned at {strength}: " in said for strength in ("0.50", "0.25", "0.00")] == [True] * 3
    assert said.count("cleaned") == 3
    assert [json.loads(line)["strength"] for line in lines.read_text().splitlines()] == [0.5, 0.25, 0.0, None]


def test_an_input_is_cleaned_once_for_all_its_samples(models, photo, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "sr3.sampling.upscaler.restored", lambda *found, **settings: calls.append(1) or restored(*found, **settings)
    )
    assert run(["upscale", str(photo), "-o", str(photo.parent), "--model", str(models[0]), "--samples", "3"]) == 0
    assert len(calls) == 1


def test_a_model_is_measured_as_its_files_are(models, photo, tmp_path):
    joined, alone = models
    for folder, model in {"truths": alone, "drawn": joined}.items():
        (tmp_path / folder).mkdir()
        Image.fromarray(upscaled(model, photo)).save(tmp_path / folder / "photo.png")
    (tmp_path / "inputs").mkdir()
    photo.rename(tmp_path / "inputs" / "photo.jpg")
    methods = ["--model", f"joined={joined}", "--pred", f"drawn={tmp_path / 'drawn'}"]
    given, report = ["--data", str(tmp_path / "truths"), "--input", str(tmp_path / "inputs")], tmp_path / "report"
    assert run(["evaluate", *methods, *given, "-o", str(report)]) == 0
    found = json.loads((report / "report.json").read_text())["methods"]
    assert found["joined"]["settings"]["restoration"] == "auto"
    assert found["joined"]["figures"]["psnr"] == found["drawn"]["figures"]["psnr"]


@pytest.mark.parametrize("strength", ["-0.1", "2.5", "nan", "strong", ""])
def test_no_strength_is_one_line(models, photo, strength, capsys):
    assert run(["upscale", str(photo), "--model", str(models[0]), f"--restoration={strength}"]) == 2
    assert f"--restoration {strength}: must be auto, or a number from 0 to 2" in capsys.readouterr().err
    if strength not in ("strong", ""):
        with pytest.raises(ConfigError, match="must be auto, or a number from 0 to 2"):
            sr3.load(str(models[0]), restoration=float(strength))


def test_a_model_that_cleans_nothing_says_so(models, photo, capsys):
    assert run(["upscale", str(photo), "--model", str(models[1]), "--restoration", "0.5"]) == 2
    assert (
        "alone has no restoration network; use a model that has one, such as photos-x4-web" in capsys.readouterr().err
    )
