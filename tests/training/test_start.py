"""Runs that begin with the weights of a model: that they do, with which ones they can, and that it stays the same."""

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pictures import GENERATOR, Pictures, smooth, write_random_model
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.config import Config, apply_settings
from sr3.errors import ConfigError, DataError
from sr3.presets import preset
from sr3.training.loop import train
from sr3.training.run_dir import open_run
from sr3.training.start import Start, begun_with, read_start
from sr3.training.state import last_whole

SOURCE = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
SMALL = ("training.steps=1", "training.batch=2", "training.validate_every=100", "optimizer.warmup=1")


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "first.safetensors")


def begun(path, start: Start, *settings: str) -> Config:
    config = begun_with(apply_settings(preset("tiny-x4"), [*SMALL, *settings]), start)
    list(train(config, SOURCE, open_run(path, config), device=torch.device("cpu"), start=start))
    return config


def test_weights_and_their_average_begin_as_the_model_s(model, tmp_path):
    start = read_start(str(model))
    config = begun(tmp_path / "run", start, "optimizer.learning_rate=1e-30")
    found = last_whole(tmp_path / "run" / "checkpoints")
    assert found is not None
    state = load_file(found)
    for name, weight in start.file.weights.items():
        assert torch.equal(state[f"network.{name}"], weight)
        torch.testing.assert_close(state[f"ema.{name}"], weight)
    assert config.training.start.startswith("first ")
    assert read_model(tmp_path / "run" / "model.safetensors").info.config.training.start == config.training.start


def test_a_regression_may_be_where_sr3_begins(tmp_path):
    regression = ("denoiser.objective=regression", "denoiser.prediction=y0", "denoiser.target=residual")
    one_call = ("sampling.sampler=regression", "sampling.steps=1")
    model = write_random_model(tmp_path / "first.safetensors", settings=(*regression, *one_call))
    begun(tmp_path / "run", read_start(str(model)), "denoiser.prediction=y0", "denoiser.target=residual")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("network.width=24", r"network\.width = 24: first, which the run is to begin with, has "),
        ("denoiser.prediction=eps", r"denoiser\.prediction = eps: first, which the run is to begin with, has v"),
        ("denoiser.target_scale=2", r"denoiser\.target_scale = 2\.0: first, "),
    ],
)
def test_weights_of_another_network_or_meaning_are_refused(model, tmp_path, setting, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        begun(tmp_path / "run", read_start(str(model)), setting)
    assert "\n" not in str(caught.value)


def test_weights_of_other_channels_are_refused(tmp_path):
    start = read_start(str(write_random_model(tmp_path / "grey.safetensors", image_channels=1)))
    with pytest.raises(DataError, match="the pictures have 3 channels, but grey, which the run is to begin with"):
        begun(tmp_path / "run", start)


def test_settings_that_name_another_model_are_refused(model):
    config = apply_settings(preset("tiny-x4"), ["training.start=other"])
    with pytest.raises(ConfigError, match="the run begins with this model, but --start is first "):
        begun_with(config, read_start(str(model)))
    with pytest.raises(ConfigError, match="but there is no --start"):
        begun_with(config, None)


def test_from_the_command_line_and_on(model, tmp_path, capsys):
    folder = tmp_path / "learn"
    folder.mkdir()
    for k in range(6):
        Image.fromarray(smooth(48, 64, seed=k)).save(folder / f"{k}.png")
    learn = ["train", "tiny-x4", "--data", str(folder), "--out", str(tmp_path / "run"), "--device", "cpu"]
    for setting in SMALL:
        learn += ["--set", setting]
    assert run([*learn, "--start", str(model)]) == 0
    assert run([*learn, "--start", str(model), "--set", "training.steps=2"]) == 0  # and goes on
    capsys.readouterr()

    def refused(*more: str) -> str:
        assert run([*learn, *more]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "holds a run with another training.start" in refused()
    write_random_model(model, seed=1)
    assert "holds a run with another training.start" in refused("--start", str(model))
    assert "no packaged model" in refused("--start", "nothing-of-the-kind")
    generator = write_random_model(tmp_path / "generator.safetensors", settings=GENERATOR)
    assert "network.condition = " in refused("--start", str(generator), "--dry-run")
