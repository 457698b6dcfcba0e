"""Distillation: a student begins as its teacher, learns, resumes, and is sampled in its own steps only."""

from contextlib import closing

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pictures import GENERATOR, Pictures, smooth, write_pictures, write_random_model
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.config import Config, apply_settings
from sr3.errors import CheckpointError, ConfigError, DataError, TrainingError
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import open_upscaler
from sr3.training.events import Stepped, Validated
from sr3.training.loop import train
from sr3.training.run_dir import RunDir, open_run
from sr3.training.source_model import SourceModel, SourceModels
from sr3.training.state import last_whole
from sr3.training.teacher import check_same_teacher, check_student, read_teacher, student_config
from sr3.tuning.scoring import start_of

SOURCE = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
CPU = torch.device("cpu")
SMALL = ("training.steps=4", "training.batch=2", "training.validate_every=100", "optimizer.warmup=1")


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "teacher.safetensors")


def student(teacher: SourceModel, *settings: str, steps: int = 2) -> Config:
    return student_config(teacher, steps=steps, changes=[*SMALL, "objective.teacher_steps=2", *settings])


def distilled(path, teacher: SourceModel, config: Config, source=SOURCE) -> list[object]:
    return list(train(config, source, open_run(path, config), device=CPU, source_models=SourceModels(teacher=teacher)))


def state_of(path) -> dict[str, torch.Tensor]:
    found = last_whole(path / "checkpoints")
    assert found is not None
    return {name: tensor.clone() for name, tensor in load_file(found).items()}


@pytest.mark.training
def test_a_student_begins_as_its_teacher(model, tmp_path):
    teacher = read_teacher(str(model))
    config = student(teacher, "optimizer.learning_rate=1e-30", "training.steps=1")
    distilled(tmp_path / "run", teacher, config)
    state = state_of(tmp_path / "run")
    for name, weight in teacher.file.weights.items():
        assert torch.equal(state[f"network.{name}"], weight)
        torch.testing.assert_close(state[f"ema.{name}"], weight)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.training
@pytest.mark.parametrize("eta", [0, 1])
def test_a_student_learns_the_walk_of_its_teacher(model, tmp_path, eta):
    teacher = read_teacher(str(model))
    settings = ("training.steps=40", "training.batch=4", f"objective.eta={eta}")
    losses: list[list[float]] = []
    for number, rate in enumerate(("1e-30", "1e-3")):  # the same draws, without and with learning
        config = student(teacher, *settings, f"optimizer.learning_rate={rate}")
        events = distilled(tmp_path / str(number), teacher, config)
        losses.append([event.loss for event in events if isinstance(event, Stepped)])
    assert losses[0][0] == losses[1][0]
    assert sum(losses[1][-15:]) < 0.85 * sum(losses[0][-15:])
    [figures] = [event.metrics for event in events if isinstance(event, Validated)]
    assert figures["gradient_energy"] > 0


@pytest.mark.training
def test_a_resumed_distillation_ends_where_an_uninterrupted_one_does(model, tmp_path):
    teacher = read_teacher(str(model))
    config = student(teacher)
    distilled(tmp_path / "whole", teacher, config)
    with closing(
        train(
            config,
            SOURCE,
            open_run(tmp_path / "parts", config),
            device=CPU,
            source_models=SourceModels(teacher=teacher),
        )
    ) as events:
        for event in events:
            if isinstance(event, Stepped) and event.step == 2:
                break
    events = distilled(tmp_path / "parts", read_teacher(str(model)), config)
    assert [event.step for event in events if isinstance(event, Stepped)] == [3, 4]
    whole, parts = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.training
def test_a_student_may_also_be_told_from_photographs(model, tmp_path):
    teacher = read_teacher(str(model))

    def states(name: str, *settings: str) -> dict[str, torch.Tensor]:
        distilled(tmp_path / name, teacher, student(teacher, *settings))
        return state_of(tmp_path / name)

    judged = (
        "objective.adversary.adversarial=0.1",
        "objective.adversary.width=4",
        "objective.adversary.downsamplings=2",
    )
    alone, both, judge_only = (
        states("alone"),
        states("both", *judged),
        states("judge", *judged, "objective.adversary.pixel=0"),
    )
    assert any(name.startswith("discriminator.") for name in both)
    for one, other in ((alone, both), (both, judge_only)):
        assert not torch.equal(one["network.tail.weight"], other["network.tail.weight"])
    with closing(
        train(
            (config := student(teacher, *judged)),
            SOURCE,
            open_run(tmp_path / "parts", config),
            device=CPU,
            source_models=SourceModels(teacher=teacher),
        )
    ) as events:
        for event in events:
            if isinstance(event, Stepped) and event.step == 2:
                break
    distilled(tmp_path / "parts", teacher, config)
    resumed = state_of(tmp_path / "parts")
    assert all(torch.equal(both[name], resumed[name]) for name in both)


@pytest.mark.training
def test_a_run_does_not_go_on_with_a_teacher_that_has_changed(model, tmp_path):
    teacher = read_teacher(str(model))
    distilled(tmp_path / "run", teacher, student(teacher))
    check_same_teacher(RunDir(tmp_path / "run"), teacher)
    write_random_model(model, seed=1)
    other = read_teacher(str(model))
    with pytest.raises(TrainingError, match=r"was started with another teacher \(teacher, SHA-256 [0-9a-f]{12}\)"):
        check_same_teacher(RunDir(tmp_path / "run"), other)
    with pytest.raises(ConfigError, match="is not that of the teacher"):
        distilled(tmp_path / "other", other, student(teacher))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (GENERATOR, "generates images without an input"),
        ((*GENERATOR, "network.classes=3"), "generates images without an input"),
        (("denoiser.prediction=eps",), "predicts eps"),
        (
            (
                "objective.kind=regression",
                "denoiser.prediction=y0",
                "sampling.sampler=regression",
                "sampling.steps=1",
            ),
            "is a regression",
        ),
    ],
)
def test_models_that_cannot_be_distilled_are_refused_in_one_line(tmp_path, settings, complaint):
    model = write_random_model(tmp_path / "model.safetensors", settings=settings)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        read_teacher(str(model))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["data.scale=8", "network.width=24", "denoiser.target_scale=2", "denoiser.prediction=y0"]
)
def test_a_student_unlike_its_teacher_is_refused(model, setting):
    teacher = read_teacher(str(model))
    with pytest.raises(ConfigError, match=rf"{setting.replace('=', ' = ')}(\.0)?: the source model teacher has"):
        check_student(student(teacher, setting), teacher)


@pytest.mark.training
def test_pictures_of_other_channels_are_refused(tmp_path):
    teacher = read_teacher(str(write_random_model(tmp_path / "grey.safetensors", image_channels=1)))
    with pytest.raises(DataError, match="the images have 3 channels, but the source model grey takes 1"):
        distilled(tmp_path / "run", teacher, student(teacher))


@pytest.mark.slow
def test_what_training_and_sampling_share_is_set_once(model):
    config = student(read_teacher(str(model)), "objective.eta=0.5", "objective.grid=log_snr", steps=3)
    assert config.distillation is not None
    assert (config.sampling.eta, config.sampling.grid, config.sampling.steps) == (0.5, "log_snr", 3)
    assert (config.distillation.eta, config.distillation.grid, config.distillation.steps) == (0.5, "log_snr", 3)


@pytest.mark.slow
def test_the_rate_falls_over_the_second_half_unless_told_otherwise(model):
    teacher = read_teacher(str(model))
    assert student_config(teacher, steps=4).optimizer.cooldown == 1500
    assert student_config(teacher, steps=4, changes=["training.steps=40"]).optimizer.cooldown == 20
    assert student_config(teacher, steps=4, changes=["optimizer.cooldown=7"]).optimizer.cooldown == 7


@pytest.mark.slow
def test_the_teacher_takes_no_fewer_calls_when_the_student_takes_one(model):
    for steps, expected in ((1, 16), (2, 8), (4, 4), (8, 4)):
        config = student_config(read_teacher(str(model)), steps=steps)
        assert config.distillation is not None
        assert config.objective.teacher_steps == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        (
            "sampling.steps=8",
            "with the steps it was trained with, 2, not 8; use its teacher, teacher",
        ),
        ("sampling.eta=1", "with the eta it was trained with, 0.0, not 1.0"),
        ("sampling.grid=karras", "with the grid it was trained with, cosine, not karras"),
        ("sampling.sampler=ddim", "objective is distillation cannot be sampled by ddim"),
        ("sampling.detail=0.5", "gives full samples, not their mean"),
        ("objective.kind=denoising", "objective is denoising cannot be sampled by distilled"),
        ("denoiser.prediction=eps", "distil a model that predicts v or y0"),
        ("objective.digest=abc", "objective.digest"),
        ("objective.teacher_step=3", "there is no setting objective.teacher_step"),
    ],
)
def test_a_distilled_model_has_its_own_steps_and_no_others(model, setting, complaint):
    config = student(read_teacher(str(model)))
    with pytest.raises(ConfigError) as caught:
        apply_settings(config, [setting])
    assert complaint in str(caught.value)


@pytest.mark.training
def test_a_distillation_without_its_teacher_is_refused(model, tmp_path):
    config = student(read_teacher(str(model)))
    with pytest.raises(TrainingError, match="needs a teacher: use sr3 distill MODEL"):
        list(train(config, SOURCE, open_run(tmp_path / "run", config), device=CPU))


@pytest.mark.slow
def test_a_model_that_was_not_distilled_says_nothing_of_it(model, tmp_path):
    described = read_model(model).info.model_dump(exclude_none=True)["config"]
    assert described["objective"] == {"kind": "denoising", "loss": "l2"}
    config = read_model(model).info.config
    assert "distillation" not in open_run(tmp_path / "run", config).config.read_text()


@pytest.mark.slow
def test_from_the_command_line_to_a_picture(model, tmp_path, capsys):
    folder = write_pictures(tmp_path / "learn")
    out = tmp_path / "run"
    arguments = ["distill", str(model), "--data", str(folder), "--out", str(out), "--steps", "3", "--device", "cpu"]
    for setting in SMALL:
        arguments += ["--set", setting]
    assert run(arguments) == 0
    assert "usable with sr3 upscale" in capsys.readouterr().out
    info = open_upscaler(str(out), device="cpu").info
    assert (sampling_for(info).sampler, sampling_for(info).steps) == ("distilled", 3)
    assert (info.config.distillation.teacher, info.step) == ("teacher", 4)
    with pytest.raises(ConfigError, match="has fixed levels"):
        start_of(info.config.sampling)

    picture = folder / "0.png"
    upscale = ["upscale", str(picture), "--model", str(out), "--device", "cpu"]
    assert run([*upscale, "-o", str(tmp_path / "big"), "--samples", "2", "--save-process"]) == 0
    with Image.open(tmp_path / "big" / "0-1.png") as first, Image.open(tmp_path / "big" / "0-2.png") as second:
        assert first.size == (256, 192)
        assert first.tobytes() != second.tobytes()
    capsys.readouterr()
    for wrong in (["--steps", "8"], ["--sampler", "ddim"], ["--grid", "karras"], ["--detail", "0.5"]):
        assert run([*upscale, "-o", str(tmp_path / "other"), *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    assert run(["inspect", str(out)]) == 0
    assert 'teacher = "teacher"' in capsys.readouterr().out
    write_random_model(model, seed=1)
    assert run(arguments) == 2
    assert "was started with another teacher" in capsys.readouterr().err
    assert run(["distill", str(out), "--data", str(folder), "--out", str(tmp_path / "again")]) == 2
    assert "is distilled already" in capsys.readouterr().err


@pytest.mark.slow
def test_settings_may_have_spaces_and_the_teacher_takes_as_many_steps_as_it_needs(model):
    teacher = read_teacher(str(model))
    spaced = student_config(teacher, steps=4, changes=["optimizer.cooldown = 7", "objective.eta = 0.5"])
    assert spaced.optimizer.cooldown == 7
    assert spaced.sampling.eta == spaced.objective.eta == 0.5
    for steps, expected in ((1, 16), (2, 8), (8, 4)):
        asked = student_config(teacher, steps=steps)
        changed = student_config(teacher, steps=4, changes=[f"objective.steps={steps}"])
        assert asked.objective.teacher_steps == changed.objective.teacher_steps == expected
    assert student_config(teacher, steps=2, changes=["objective.teacher_steps=5"]).objective.teacher_steps == 5
