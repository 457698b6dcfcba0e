"""Results of any size: how a model gets there, and that the input is in them whatever the size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import sr3
from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, ImageError
from sr3.images.metadata import Metadata
from sr3.images.resize import resize
from sr3.sampling.plan import as_plan, sampling_for
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.enlarging import previews_of
from sr3.upscaling.sizing import Sizing, parse_box, steps_of


@pytest.mark.parametrize(
    ("asked", "target", "passes"),
    [
        ({}, (240, 160), 1),
        ({"scale": 4}, (240, 160), 1),
        ({"scale": 2}, (120, 80), 1),
        ({"scale": 1.5}, (90, 60), 1),
        ({"scale": 5}, (300, 200), 2),
        ({"scale": 16}, (960, 640), 2),
        ({"scale": 17}, (1020, 680), 3),
        ({"width": 100}, (100, 67), 1),
        ({"height": 400}, (600, 400), 2),
        ({"long_side": 180}, (180, 120), 1),
        ({"megapixels": 0.24}, (600, 400), 2),
        ({"fit": (200, 100)}, (150, 100), 1),
        ({"fit": (90, 1000)}, (90, 60), 1),
    ],
)
def test_a_picture_of_60x40_gets_to_its_size_by_as_few_passes_as_do(asked, target, passes):
    plan = Sizing(**asked).plan(60, 40, 4, "a.png")
    assert (plan.target, plan.passes) == (target, passes)
    assert plan.is_plain == (target == (240, 160))
    assert plan.ratio == (target[0] / 60, target[1] / 40)


@pytest.mark.parametrize(
    "asked", [{"scale": 1}, {"scale": 0.5}, {"width": 60}, {"fit": (50, 500)}, {"megapixels": 0.001}]
)
def test_what_would_not_become_larger_is_refused(asked):
    with pytest.raises(ImageError, match=r"a\.png: is 60x40, and a result of \d+x\d+ would not be larger"):
        Sizing(**asked).plan(60, 40, 4, "a.png")


def test_a_models_own_magnification_is_never_refused():
    plan = Sizing().plan(60, 40, 1, "a.png")
    assert (plan.target, plan.passes, plan.is_plain) == ((60, 40), 1, True)


def test_one_size_is_asked_for_and_it_is_above_0():
    with pytest.raises(ConfigError, match="--scale and --long-side each set the size"):
        Sizing(scale=2, long_side=100)
    for wrong in (0.0, -2.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"--scale .*: give a number above 0"):
            Sizing(scale=wrong)
    assert parse_box("1920x1080") == (1920, 1080)
    for text in ("1920", "axb", "1920x", "1.5x2"):
        with pytest.raises(ConfigError, match=r"--fit .*: write the box as WIDTHxHEIGHT"):
            parse_box(text)


def test_later_passes_take_half_the_steps_unless_they_were_taught():
    walk = as_plan(SamplingConfig(sampler="dpmpp-2m", steps=16, grid="cosine"))
    assert [walk.of_pass(k).steps for k in range(3)] == [16, 8, 8]
    assert as_plan(SamplingConfig(sampler="ddim", steps=2, grid="cosine")).of_pass(1).steps == 2
    assert as_plan(SamplingConfig(sampler="distilled", steps=8, grid="cosine")).of_pass(1).steps == 8
    assert steps_of(walk, 2) == 24


@pytest.fixture
def upscaler(tmp_path):
    return open_upscaler(str(write_random_model(tmp_path / "m.safetensors")), device="cpu", dtype="float32")


def low_res(height=10, width=14):
    return torch.from_numpy(smooth(height, width)).permute(2, 0, 1)[None].float() / 160 - 0.8


def way(upscaler, **changes):
    return sampling_for(upscaler.info, steps=4, sampler="ddim").model_copy(update=changes)


def final(upscaler, x, scale, **changes):
    plan = Sizing(scale=scale).plan(x.shape[-1], x.shape[-2], upscaler.scale, "it")
    *_, preview = previews_of(upscaler, x, plan, sampling=way(upscaler, **changes), seeds=[3])
    return preview.guess


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.25, 1.5, 2, 3, 4, 5.5, 8, 16])
def test_the_result_shrunk_to_the_inputs_size_gives_the_input(upscaler, scale):
    x = low_res()
    result = final(upscaler, x, scale)
    assert result.shape == (1, 3, round(10 * scale), round(14 * scale))
    assert float((resize(result, 10, 14) - x).abs().mean()) < 2e-3


@pytest.mark.slow
def test_below_the_models_magnification_its_own_result_is_reduced(upscaler):
    x = low_res()
    raw = upscaler.upscale(x, sampling=way(upscaler, correct=False), seeds=[3])
    torch.testing.assert_close(final(upscaler, x, 2, correct=False), resize(raw, 20, 28).clamp(-1, 1))


@pytest.mark.slow
def test_above_it_the_model_enlarges_its_own_result_by_other_noise(upscaler):
    x, uncorrected = low_res(5, 6), way(upscaler, correct=False)
    once = upscaler.upscale(x, sampling=uncorrected, seeds=[3])
    twice = upscaler.upscale(once, sampling=uncorrected, seeds=[mix_seed(3, 1)])
    assert torch.equal(final(upscaler, x, 16, correct=False), twice)


@pytest.mark.slow
def test_steps_are_counted_over_the_passes(upscaler):
    x, sampling = low_res(4, 5), way(upscaler, steps=10)
    previews = list(previews_of(upscaler, x, Sizing(scale=8).plan(5, 4, 4, "it"), sampling=sampling, seeds=[0]))
    assert len(previews) == 1 + steps_of(as_plan(sampling), 2) == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "size", "name"),
    [
        (["--scale", "2"], (32, 24), "a-x2.png"),
        (["--scale", "1.5"], (24, 18), "a-x1.5.png"),
        (["--scale", "8"], (128, 96), "a-x8.png"),
        (["--width", "40"], (40, 30), "a-x2.5.png"),
        (["--height", "60"], (80, 60), "a-x5.png"),
        (["--long-side", "50"], (50, 38), "a-x3.17.png"),
        (["--megapixels", "0.0048"], (80, 60), "a-x5.png"),
        (["--fit", "40x100"], (40, 30), "a-x2.5.png"),
        ([], (64, 48), "a-x4.png"),
    ],
)
def test_the_command_gives_the_size_and_the_name_says_it(tmp_path, options, size, name):
    model = write_random_model(tmp_path / "m.safetensors")
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.png", dpi=(100, 100))
    assert run(["upscale", str(tmp_path / "a.png"), "--model", str(model), "--steps", "1", *options]) == 0
    with Image.open(tmp_path / name) as image:
        assert image.size == size
        assert image.info["dpi"][0] == pytest.approx(100 * size[0] / 16, abs=0.1)
        small = np.asarray(image.resize((16, 12), Image.Resampling.BICUBIC), float)
    assert np.abs(small - smooth(12, 16)).mean() < 3


@pytest.mark.slow
def test_samples_uncertainty_and_process_have_the_size_too(tmp_path):
    model = write_random_model(tmp_path / "m.safetensors")
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.png")
    for scale, size in (("2", (32, 24)), ("6", (96, 72))):
        out = tmp_path / f"out{scale}"
        options = ["--samples", "2", "--uncertainty", "--save-process", "--scale", scale, "--steps", "1"]
        assert run(["upscale", str(tmp_path / "a.png"), "-o", str(out), "--model", str(model), *options]) == 0
        for name in ("a-1.png", "a-2.png", "a-mean.png", "a-apart-1.png"):
            with Image.open(out / name) as image:
                assert image.size == size
        assert (out / "a-process.png").is_file()


@pytest.mark.slow
def test_two_sizes_or_none_that_is_larger_are_one_line(tmp_path, capsys):
    model = write_random_model(tmp_path / "m.safetensors")
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.png")
    given = ["upscale", str(tmp_path / "a.png"), "--model", str(model)]
    for options, said in (
        (["--scale", "2", "--width", "40"], "--scale and --width each set the size"),
        (["--width", "10"], "a.png: is 16x12, and a result of 10x8 would not be larger"),
        (["--fit", "huge"], "--fit huge: write the box as WIDTHxHEIGHT"),
        (["--scale", "9000"], "results have at most 32768 pixels per side"),
    ):
        assert run([*given, *options]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.slow
def test_the_library_gives_what_the_command_gives(tmp_path):
    path = write_random_model(tmp_path / "m.safetensors", settings=["sampling.sampler=ddim"])
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.png")
    model, told = sr3.load(str(path), device="cpu", dtype="float32"), []
    for scale in (2.0, 6.0):
        options = ["--scale", f"{scale:g}", "--steps", "5", "--seed", "4", "--overwrite", "--dtype", "float32"]
        command = ["upscale", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--model", str(path)]
        assert run([*command, *options, "--device", "cpu"]) == 0
        found = model.upscale(smooth(12, 16), scale=scale, steps=5, seed=4, progress=lambda *step: told.append(step))
        with Image.open(tmp_path / "b.png") as image:
            assert np.array_equal(np.asarray(image), found)
        *_, last = model.refine(smooth(12, 16), scale=scale, steps=5, seed=4)
        assert last.is_last
        assert np.array_equal(last.image, found)
        where = model.upscale_file(tmp_path / "a.png", tmp_path / "c.png", scale=scale, steps=5, seed=4, overwrite=True)
        assert where.read_bytes() == (tmp_path / "b.png").read_bytes()
    assert told[4] == (5, 5)
    assert told[-1] == (9, 9)


@pytest.mark.slow
def test_transparency_has_the_size_too(tmp_path):
    model = sr3.load(str(write_random_model(tmp_path / "m.safetensors")), device="cpu", dtype="float32")
    picture = Image.fromarray(np.dstack([smooth(12, 16), smooth(12, 16)[..., :1]]))
    for scale in (1.5, 6):
        large = model.upscale(picture, scale=scale, steps=1)
        assert (large.size, large.mode) == ((16 * scale, 12 * scale), "RGBA")


def test_rounded_sides_have_ratios_of_their_own():
    place = ((33550, (10.0, 10.0, 0.0)), (33922, (2.0, 3.0, 0.0, 500.0, 600.0, 0.0)))
    found = dict(replace(Metadata(), place=place, dpi=(100.0, 100.0)).scaled(2.5, 2.4).place)
    assert found[33550] == pytest.approx((4.0, 10 / 2.4, 0.0))
    assert found[33922] == pytest.approx((5.0, 7.2, 0.0, 500.0, 600.0, 0.0))
