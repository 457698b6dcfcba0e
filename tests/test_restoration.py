"""Models at scale 1: a degraded image in, a clean one of the same size out; and inputs of other channels."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sr3
from pictures import Pictures, smooth, write_pictures
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.config import apply_settings
from sr3.data.opening import open_supply
from sr3.errors import ImageError
from sr3.presets import preset
from sr3.sampling.upscaler import open_upscaler
from sr3.training.events import Stepped, Validated
from sr3.training.loop import train
from sr3.training.run_dir import open_run

pytestmark = [pytest.mark.training, pytest.mark.xdist_group("restorer")]  # which is trained once

CPU = torch.device("cpu")
SMALL = ["training.batch=4", "training.validation_images=2", "training.validate_every=100", "network.width=8"]
RESTORES = [*SMALL, "data.scale=1", "data.degradation=noise", "sampling.steps=2"]


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    """A run that has learnt to take noise away, for a little."""
    folder = tmp_path_factory.mktemp("restorer")
    config = apply_settings(preset("tiny-x4"), [*RESTORES, "training.steps=60", "optimizer.warmup=5"])
    source = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
    events = list(train(config, source, open_run(folder / "run", config), device=CPU))
    return folder / "run", events


def test_it_learns_and_is_measured_beside_its_input(restorer):
    path, events = restorer
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])
    figures = next(event.metrics for event in events if isinstance(event, Validated))
    assert {"psnr", "psnr_bicubic", "sharpness"} <= set(figures)
    assert "consistency" not in figures
    config = read_model(path / "model.safetensors").info.config
    assert (config.data.scale, config.network.condition, config.sampling.correct) == (1, "picture", False)


def test_a_program_gets_a_picture_of_the_inputs_size_that_is_not_the_input(restorer):
    model = sr3.load(str(restorer[0]), device="cpu", dtype="float32")
    assert model.scale == 1
    degraded = np.clip(smooth(24, 36, seed=9) + np.random.default_rng(0).normal(0, 10, (24, 36, 3)), 0, 255)
    degraded = degraded.astype(np.uint8)
    result = model.upscale(Image.fromarray(degraded))
    assert result.size == (36, 24)
    assert not np.array_equal(np.asarray(result), degraded)
    with pytest.raises(ImageError, match="restores images without enlarging them"):
        model.upscale(Image.fromarray(degraded), scale=2)


def test_the_command_line_restores_a_file_beside_it(restorer, tmp_path, capsys):
    Image.fromarray(smooth(20, 28)).save(tmp_path / "photo.png")
    model = ["--model", str(restorer[0])]
    assert run(["upscale", str(tmp_path / "photo.png"), *model, "--device", "cpu"]) == 0, capsys.readouterr().err
    with Image.open(tmp_path / "photo-x1.png") as result:
        assert result.size == (28, 20)
    capsys.readouterr()
    assert run(["inspect", str(restorer[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["data"]["scale"] == 1


def test_large_pictures_are_restored_in_windows(restorer):
    upscaler = open_upscaler(str(restorer[0]), device="cpu", dtype="float32", tile=128)
    image = torch.rand(1, 3, 150, 140, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert upscaler.upscale(image, sampling=upscaler.info.config.sampling, seeds=[0]).shape == image.shape


def test_a_regression_restores_too(tmp_path):
    settings = [*SMALL, "data.scale=1", "data.degradation=jpeg", "training.steps=2", "optimizer.warmup=1"]
    config = apply_settings(preset("tiny-x4-regression"), settings)
    source = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
    list(train(config, source, open_run(tmp_path / "run", config), device=CPU))
    upscaler = open_upscaler(str(tmp_path / "run"), device="cpu", dtype="float32")
    image = torch.zeros(1, 3, 9, 13)
    assert upscaler.upscale(image, sampling=upscaler.info.config.sampling, seeds=[0]).shape == image.shape


@pytest.mark.parametrize("scale", [1, 2])
def test_an_input_of_one_channel_gives_a_picture_of_three(tmp_path, scale):
    high, low = write_pictures(tmp_path / "high"), tmp_path / "low"
    low.mkdir()
    for path in high.iterdir():
        with Image.open(path) as picture:
            grey = picture.convert("L")
            grey.resize((picture.width // scale, picture.height // scale)).save(low / path.name)
    settings = [
        *SMALL, f"data.scale={scale}", "data.degradation=paired", "network.condition_channels=1", "training.steps=2",
        "denoiser.target=image", "sampling.correct=false", "sampling.steps=2", "optimizer.warmup=1",
    ]  # fmt: skip
    config = apply_settings(preset("tiny-x4"), settings)
    supply = open_supply(str(high), low_res=low, scale=scale)
    list(train(config, supply, open_run(tmp_path / "run", config), device=CPU))
    upscaler = open_upscaler(str(tmp_path / "run"), device="cpu", dtype="float32")
    grey = torch.rand(2, 1, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = upscaler.upscale(grey, sampling=upscaler.info.config.sampling, seeds=[0, 1])
    assert result.shape == (2, 3, 8 * scale, 12 * scale)
    with pytest.raises(ImageError, match="turns 1 channels into 3"):
        sr3.load(str(tmp_path / "run"), device="cpu").upscale(Image.fromarray(smooth(8, 12)))
