"""Runs that begin with the weights of a model: that they do, with which ones they can, and that they remember it."""

import pytest
import torch
from safetensors.torch import load_file

from pictures import GENERATOR, Pictures, smooth, write_pictures, write_random_model
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.config import Config, apply_settings
from sr3.errors import CheckpointError, ConfigError, DataError
from sr3.presets import preset
from sr3.training.loop import train
from sr3.training.run_dir import RunDir, open_run
from sr3.training.source_model import SourceModel, SourceModels, read_source_model, with_source_model
from sr3.training.state import last_whole

SOURCE = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
SMALL = ("training.steps=1", "training.batch=2", "training.validate_every=100", "optimizer.warmup=1")


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "first.safetensors")


def begun(path, source_model: SourceModel | None, *settings: str) -> Config:
    config = with_source_model(apply_settings(preset("tiny-x4"), [*SMALL, *settings]), source_model, RunDir(path))
    list(
        train(
            config, SOURCE, open_run(path, config), device=torch.device("cpu"), source_models=SourceModels(source_model)
        )
    )
    return config


def state_of(path) -> dict[str, torch.Tensor]:
    found = last_whole(path / "checkpoints")
    assert found is not None
    return {name: tensor.clone() for name, tensor in load_file(found).items()}


def begins_as(source_model: SourceModel, path) -> bool:
    state = state_of(path)
    return all(torch.equal(state[f"network.{name}"], weight) for name, weight in source_model.file.weights.items())


@pytest.mark.training
def test_weights_and_their_average_begin_as_the_model_s(model, tmp_path):
    source_model = read_source_model(str(model))
    config = begun(tmp_path / "run", source_model, "optimizer.learning_rate=1e-30")
    assert begins_as(source_model, tmp_path / "run")
    state = state_of(tmp_path / "run")
    for name, weight in source_model.file.weights.items():
        torch.testing.assert_close(state[f"ema.{name}"], weight)
    assert config.training.start.startswith("first ")
    assert read_model(tmp_path / "run" / "model.safetensors").info.config.training.start == config.training.start


@pytest.mark.training
def test_a_regression_may_be_where_sr3_begins(tmp_path):
    regression = ("objective.kind=regression", "denoiser.prediction=y0", "denoiser.target=residual")
    one_call = ("sampling.sampler=regression", "sampling.steps=1")
    model = write_random_model(tmp_path / "first.safetensors", settings=(*regression, *one_call))
    source_model = read_source_model(str(model))
    still = "optimizer.learning_rate=1e-30"
    begun(tmp_path / "run", source_model, "denoiser.prediction=y0", "denoiser.target=residual", still)
    assert begins_as(source_model, tmp_path / "run")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.training
def test_a_run_goes_on_without_the_model_and_ends_where_an_uninterrupted_one_does(model, tmp_path):
    source_model = read_source_model(str(model))
    begun(tmp_path / "whole", source_model, "training.steps=2")
    begun(tmp_path / "parts", source_model, "training.steps=1")
    model.unlink()
    config = begun(tmp_path / "parts", None, "training.steps=2")
    assert config.training.start == source_model.name
    whole, parts = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.training
@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("network.width=24", r"network\.width = 24: the source model first has "),
        ("denoiser.prediction=eps", r"denoiser\.prediction = eps: the source model first has v"),
        ("denoiser.target_scale=2", r"denoiser\.target_scale = 2\.0: the source model first "),
    ],
)
def test_weights_of_another_network_or_meaning_are_refused(model, tmp_path, setting, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        begun(tmp_path / "run", read_source_model(str(model)), setting)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_laid_out_by_the_scale_begins_with_one_of_its_own(tmp_path):
    settings = ("network.width=8", "network.blocks=1")
    source_model = read_source_model(
        str(write_random_model(tmp_path / "first.safetensors", settings=settings, of="enet-x4-small"))
    )
    config = apply_settings(preset("enet-x4-small"), [*SMALL, *settings, "data.scale=8"])
    with pytest.raises(ConfigError, match=r"data\.scale = 8: the source model first has 4"):
        with_source_model(config, source_model, RunDir(tmp_path / "run"))


@pytest.mark.training
def test_a_model_whose_weights_are_not_those_of_its_settings_is_refused(model, tmp_path):
    source_model = read_source_model(str(model))
    name = next(iter(source_model.file.weights))
    del source_model.file.weights[name]
    with pytest.raises(CheckpointError, match="first: weights do not fit the settings in the file"):
        begun(tmp_path / "run", source_model)


@pytest.mark.training
def test_weights_of_other_channels_are_refused(tmp_path):
    source_model = read_source_model(str(write_random_model(tmp_path / "grey.safetensors", image_channels=1)))
    with pytest.raises(DataError, match="the images have 3 channels, but the source model grey"):
        begun(tmp_path / "run", source_model)


@pytest.mark.training
def test_settings_that_name_another_model_are_refused(model, tmp_path):
    config = apply_settings(preset("tiny-x4"), [*SMALL, "training.start=other"])
    run, source_model = RunDir(tmp_path / "run"), read_source_model(str(model))
    for given in (source_model, None):
        with pytest.raises(ConfigError, match=r"training\.start = other: is written by --start"):
            with_source_model(config, given, run)
        with pytest.raises(ConfigError, match=r"training\.start = other: the run was given "):
            list(
                train(
                    config,
                    SOURCE,
                    open_run(run.path, config),
                    device=torch.device("cpu"),
                    source_models=SourceModels(given),
                )
            )


@pytest.mark.slow
def test_from_the_command_line_and_on(model, tmp_path, capsys):
    folder = write_pictures(tmp_path / "learn")
    learn = ["train", "tiny-x4", "--data", str(folder), "--out", str(tmp_path / "run"), "--device", "cpu"]
    for setting in SMALL:
        learn += ["--set", setting]
    assert run([*learn, "--start", str(model)]) == 0
    assert run([*learn, "--set", "training.steps=2"]) == 0  # and continues
    assert "step 2: saved" in capsys.readouterr().out

    def refused(*more: str) -> str:
        assert run([*learn, *more]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    write_random_model(model, seed=1)
    assert "is a run with other values of training.start" in refused("--start", str(model))
    assert "no packaged model" in refused("--start", "nothing-of-the-kind")
    generator = write_random_model(tmp_path / "generator.safetensors", settings=GENERATOR)
    assert "network.condition = " in refused("--start", str(generator), "--dry-run")
