"""What belongs to a machine and not to a model: precision, compiling, feeds; and how soon a session ends."""

import threading

import pytest
import torch

from pictures import Pictures, smooth, write_pictures, write_random_model
from sr3.cli.app import run
from sr3.config import apply_settings
from sr3.errors import ConfigError
from sr3.presets import PRESETS, preset
from sr3.runtime import device as devices
from sr3.runtime.device import training_dtype
from sr3.training import step as step_module
from sr3.training import validation
from sr3.training.events import Saved, Stepped, Validated
from sr3.training.loop import Limits, train
from sr3.training.run_dir import open_run
from sr3.training.speed import Speed
from sr3.training.state import last_whole
from sr3.training.teacher import read_teacher, student_config

SOURCE = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
CPU = torch.device("cpu")
SMALL = ("training.batch=4", "training.validation_images=2", "optimizer.warmup=1")


@pytest.mark.parametrize(("computes", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_only_where_the_device_has_instructions_for_it(monkeypatch, computes, dtype):
    monkeypatch.setattr(devices, "computes_bfloat16", lambda _device: computes)
    assert training_dtype("auto", CPU) == dtype
    assert training_dtype("float32", CPU) == torch.float32
    assert training_dtype("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(ConfigError, match="float16 is for cuda"):
        training_dtype("float16", CPU)


def test_no_preset_asks_for_what_a_processor_may_imitate():
    assert {preset(name).training.precision for name in PRESETS} == {"auto", "float32"}
    assert preset("photos-x4").training.precision == "auto"
    assert preset("faces-16-128").training.precision == "float32"


@pytest.mark.slow
def test_a_student_inherits_nothing_of_the_machine_its_teacher_learnt_on(tmp_path):
    machine = (
        "training.batch=64",
        "training.precision=bfloat16",
        "training.compile=true",
        "training.accumulate=4",
        "training.track=tensorboard",
        "training.deterministic=true",
        "data.feed=device",
        "data.workers=7",
        "data.cache_gib=100",
        "data.stream=true",
    )
    model = write_random_model(tmp_path / "teacher.safetensors", settings=machine)
    config = student_config(read_teacher(str(model)), steps=4)
    training, data = config.training, config.data
    assert (training.precision, training.compile, training.accumulate, training.batch) == ("auto", False, 1, 16)
    assert (training.track, training.deterministic) == ("none", False)
    assert (data.feed, data.workers, data.stream) == ("threads", 0, False)
    assert data.cache_gib < 100
    assert data.crop == preset("tiny-x4").data.crop


@pytest.mark.slow
def test_the_packaged_model_is_distilled_as_documented_in_a_type_this_machine_computes():
    config = student_config(read_teacher("photos-x4"), steps=4)
    assert config.training.precision == "auto"
    assert config.training.batch == 16


@pytest.mark.slow
def test_a_dry_run_warns_of_what_the_training_would(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sr3.training.advice.computes_bfloat16", lambda _device: False)
    write_pictures(tmp_path / "data")
    command = ["train", "tiny-x4", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--dry-run"]
    sets = ["training.precision=bfloat16", "optimizer.learning_rate=0.1", "training.validation_images=1"]
    assert run([*command, *(f"--set={one}" for one in sets)]) == 0
    said = capsys.readouterr().err
    assert "emulates bfloat16" in said
    assert "a learning rate of 0.1 is high" in said
    assert not (tmp_path / "run").exists()


def test_a_speed_above_the_peak_that_was_measured_raises_the_peak():
    speed = Speed(flops_per_image=10.0, peak=100.0)
    assert speed.share(5) == 0.5
    assert speed.share(40) == 1.0
    assert speed.share(20) == 0.5


@pytest.mark.usefixtures("unchecked")
@pytest.mark.training
def test_told_to_end_within_a_validation_a_session_ends_and_the_next_one_makes_up_for_it(tmp_path, monkeypatch):
    config = apply_settings(preset("tiny-x4"), [*SMALL, "training.steps=4", "training.validate_every=2"])
    whole = list(train(config, SOURCE, open_run(tmp_path / "whole", config), device=CPU))
    assert [event.step for event in whole if isinstance(event, Validated)] == [2, 4]
    stop, calls = threading.Event(), []
    until = validation._last_image

    def told(steps, stops):
        calls.append(1)
        if len(calls) == 2:
            stop.set()
        return until(steps, stops)

    monkeypatch.setattr(validation, "_last_image", told)
    limits = Limits(stop=stop)
    first = list(train(config, SOURCE, open_run(tmp_path / "parts", config), device=CPU, limits=limits))
    assert not any(isinstance(event, Validated) for event in first)
    assert [event.step for event in first if isinstance(event, Saved)] == [2]
    assert len(calls) == 2
    monkeypatch.setattr(validation, "_last_image", until)
    second = list(train(config, SOURCE, open_run(tmp_path / "parts", config), device=CPU))
    assert [event.step for event in second if isinstance(event, Validated)] == [2, 4]
    one, other = (last_whole(tmp_path / name / "checkpoints").read_bytes() for name in ("whole", "parts"))
    assert one == other


@pytest.mark.training
def test_told_to_end_between_the_parts_of_a_batch_the_step_is_given_up_and_taken_again(tmp_path, monkeypatch):
    config = apply_settings(preset("tiny-x4"), [*SMALL, "training.steps=3", "training.accumulate=4"])
    list(train(config, SOURCE, open_run(tmp_path / "whole", config), device=CPU))
    stop, parts = threading.Event(), []
    losses = step_module._losses

    def told(*arguments):
        parts.append(1)
        if len(parts) == 6:  # the second part of the second step
            stop.set()
        return losses(*arguments)

    monkeypatch.setattr(step_module, "_losses", told)
    events = train(config, SOURCE, open_run(tmp_path / "parts", config), device=CPU, limits=Limits(stop=stop))
    assert [event.step for event in events if isinstance(event, Stepped)] == [1]
    assert len(parts) == 6
    monkeypatch.setattr(step_module, "_losses", losses)
    again = train(config, SOURCE, open_run(tmp_path / "parts", config), device=CPU)
    assert [event.step for event in again if isinstance(event, Stepped)] == [2, 3]
    one, other = (last_whole(tmp_path / name / "checkpoints").read_bytes() for name in ("whole", "parts"))
    assert one == other


@pytest.mark.slow
def test_code_that_a_settings_file_names_does_not_run(tmp_path, capsys):
    (tmp_path / "evil.pt").write_bytes(b"code")
    settings = tmp_path / "settings.toml"
    small = ["objective.adversary.downsamplings=3", "data.crop=32", "training.validation_images=1"]
    config = apply_settings(
        preset("enet-pat-x4-small"), [f'objective.adversary.features="{tmp_path / "evil.pt"}"', *small]
    )
    import tomli_w

    settings.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    write_pictures(tmp_path / "data")
    command = ["train", str(settings), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert run(command) == 2
    assert "runs code, so it is not accepted from a settings file" in capsys.readouterr().err
    assert run([*command, "--set", f"objective.adversary.features={tmp_path / 'evil.pt'}"]) == 2
    said = capsys.readouterr().err
    assert "runs the code of" in said
    assert "not a TorchScript file" in said
