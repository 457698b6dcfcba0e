"""A student that continues another one: its weights, its settings and its mean, and what is refused."""

import pytest
import torch
from PIL import Image

from pictures import Pictures, smooth, write_random_model, write_refining_model, write_restoration
from sr3.checkpoint import read_model
from sr3.cli.app import run
from sr3.config import apply_settings
from sr3.data.loader import Batch
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.joining import join, read_parts
from sr3.images.enlarge import enlarge
from sr3.sampling.filling import build_filled
from sr3.training.advice import before_training
from sr3.training.loop import train
from sr3.training.mean import mean_of, with_mean
from sr3.training.run_dir import RunDir, open_run
from sr3.training.source_model import SourceModels, with_source_model
from sr3.training.teacher import check_student, read_student, read_teacher, student_config

pytestmark = pytest.mark.training

SOURCE = Pictures(*(smooth(96, 96, seed=k) for k in range(6)))
STUDENT = (
    "objective.kind=distillation",
    "objective.teacher=other",
    "objective.digest=" + "a" * 64,
    "objective.steps=1",
    "objective.start=mean",
    "objective.gamma_first=0.3",
    "objective.adversary.pixel=0",
    "objective.adversary.truth=1",
    "objective.adversary.samples=2",
    "objective.adversary.diversity=0.5",
    "sampling.sampler=distilled",
    "sampling.steps=1",
    "sampling.start=mean",
    "sampling.gamma_first=0.3",
    "sampling.flat_detail=0.5",
    "data.crop=80",
    "training.batch=3",
    "optimizer.beta2=0.9",
)
SMALL = ("training.steps=1", "optimizer.warmup=1", "optimizer.learning_rate=1e-30", "training.validate_every=100")


@pytest.fixture
def teacher(tmp_path):
    return read_teacher(str(write_random_model(tmp_path / "teacher.safetensors", seed=5)))


@pytest.fixture
def student(tmp_path):
    path = tmp_path / "student.safetensors"
    write_refining_model(path, *STUDENT)
    return path


def test_everything_but_the_machine_s_settings_is_that_of_the_student(teacher, student):
    start = read_student(str(student))
    theirs, own = start.file.info.config, student_config(teacher, start=start, changes=["objective.gamma_first=0.4"])
    assert own.network == theirs.network
    assert own.mean == theirs.mean
    assert own.data.crop == 80
    assert (own.training.batch, own.optimizer.beta2) == (3, 0.9)
    assert own.distillation is not None
    assert (own.distillation.teacher, own.distillation.digest) == ("teacher", teacher.digest)
    assert own.distillation.adversary == theirs.distillation.adversary
    assert (own.distillation.steps, own.sampling.steps, own.sampling.flat_detail) == (1, 1, 0.5)
    assert own.distillation.gamma_first == own.sampling.gamma_first == 0.4
    assert student_config(teacher, start=start, steps=2).sampling.steps == 2


def test_the_weights_and_the_mean_are_those_of_the_student(teacher, student, tmp_path):
    start = read_student(str(student))
    mean = mean_of(start)
    assert mean is not None
    config = student_config(teacher, start=start, mean=mean, changes=SMALL)
    config = with_source_model(config, start, RunDir(tmp_path / "run"))
    check_student(config, teacher)
    models = SourceModels(start, mean, teacher)
    list(train(config, SOURCE, open_run(tmp_path / "run", config), device=torch.device("cpu"), source_models=models))
    made = read_model(tmp_path / "run" / "model.safetensors")
    assert made.info.config.training.start == start.name
    assert made.weights.keys() == start.file.weights.keys()
    assert any(name.startswith("mean.") for name in made.weights)
    for name, weight in start.file.weights.items():
        torch.testing.assert_close(made.weights[name], weight.half().float())
    assert not torch.equal(made.weights["tail.weight"], teacher.file.weights["tail.weight"])


def test_what_is_no_student_is_refused_in_one_line(tmp_path):
    write_random_model(tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="is not distilled; --start takes a student") as caught:
        read_student(str(tmp_path / "plain.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", ["network.width=24", "network.guide=0", "denoiser.target_scale=2"])
def test_weights_of_another_network_are_refused(teacher, student, tmp_path, setting):
    start = read_student(str(student))
    config = student_config(teacher, start=start, changes=[*SMALL, setting])
    with pytest.raises(ConfigError, match=rf"{setting.replace('=', ' = ')}(\.0)?: the source model student has"):
        with_source_model(config, start, RunDir(tmp_path / "run"))


def test_from_the_command_line_and_on_again(student, tmp_path, capsys):
    folder = tmp_path / "learn"
    folder.mkdir()
    for k, array in enumerate(SOURCE.arrays):
        Image.fromarray(array).save(folder / f"{k}.png")
    command = [
        "distill",
        str(write_random_model(tmp_path / "teacher.safetensors")),
        "--start",
        str(student),
        "--data",
        str(folder),
    ]
    command += ["--out", str(tmp_path / "run"), "--device", "cpu"]
    settings = [part for setting in SMALL for part in ("--set", setting)]
    assert run([*command, *settings]) == 0
    assert "usable with sr3 upscale" in capsys.readouterr().out
    assert run([*command, *settings, "--set", "training.steps=2"]) == 0
    assert read_model(tmp_path / "run" / "model.safetensors").info.step == 2
    assert run([*command[:2], *command[4:], *settings]) == 2
    assert "other values of" in capsys.readouterr().err


@pytest.fixture
def joined(student, tmp_path):
    write_restoration(tmp_path / "clean.safetensors")
    join(read_parts(str(tmp_path / "clean.safetensors"), str(student)), tmp_path / "joined.safetensors")
    return read_student(str(tmp_path / "joined.safetensors"))


def test_behind_a_restoration_network_training_sees_the_cleaned_input(teacher, joined):
    config = student_config(teacher, start=joined, mean=mean_of(joined))
    denoiser = build_filled(joined.file, torch.device("cpu"))
    low_res = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y0, none = torch.zeros(2, 3, 80, 80), torch.zeros(2)
    batch = Batch(y0, enlarge(low_res, 4, "full"), none.long(), none.double(), low_res)
    cleaned = low_res + denoiser.restoration.network.answer(low_res)
    assert float((cleaned - low_res).abs().mean()) > 0.001
    seen, mean = with_mean(denoiser, config, batch)
    torch.testing.assert_close(seen.low_res, cleaned.clamp(-1, 1)[..., 8:-8, 8:-8], atol=1e-5, rtol=0)
    expected = denoiser.mean.mean(cleaned.clamp(-1, 1)).picture
    assert mean is not None
    torch.testing.assert_close(mean.picture, expected[..., 32:-32, 32:-32], atol=1e-4, rtol=0)
    shown = apply_settings(config, ["mean.condition=enlarged"])
    x = with_mean(denoiser, shown, batch)[0].x
    torch.testing.assert_close(x, enlarge(cleaned.clamp(-1, 1), 4, "full")[..., 32:-32, 32:-32], atol=1e-4, rtol=0)


def test_the_restoration_network_stays_as_it_is_and_in_the_file(teacher, joined, tmp_path):
    mean = mean_of(joined)
    settings = ["training.steps=1", "optimizer.warmup=1", "training.validate_every=100", "data.degradation=jpeg"]
    config = with_source_model(
        student_config(teacher, start=joined, mean=mean, changes=settings), joined, RunDir(tmp_path)
    )
    models = SourceModels(joined, mean, teacher)
    list(train(config, SOURCE, open_run(tmp_path / "run", config), device=torch.device("cpu"), source_models=models))
    assert not [text for text in before_training(config) if "pixel by pixel" in text]  # the input is cleaned before
    made = read_model(tmp_path / "run" / "model.safetensors")
    assert made.weights.keys() == joined.file.weights.keys()
    assert made.info.config.restoration == joined.file.info.config.restoration
    changed = [
        name
        for name, weight in joined.file.weights.items()
        if not torch.equal(made.weights[name], weight.half().float())
    ]
    assert changed
    assert not [name for name in changed if name.startswith(("mean.", "restoration."))]
    with pytest.raises(ConfigError, match=r"restoration\.name = clean: .*by --start"):
        list(
            train(
                config,
                SOURCE,
                open_run(tmp_path / "other", config),
                device=torch.device("cpu"),
                source_models=SourceModels(mean=mean, teacher=teacher),
            )
        )
