"""The teacher of a distillation: valid teachers, the settings of a student, and checks that the two match."""

from collections.abc import Collection, Sequence
from functools import partial
from math import ceil
from typing import Any

import torch

from sr3.build import Network
from sr3.config import (
    Config,
    DataConfig,
    DistillationConfig,
    OptimizerConfig,
    SamplingConfig,
    apply_settings,
)
from sr3.config.objective import SHARED
from sr3.diffusion.denoiser import Denoiser
from sr3.errors import CheckpointError, ConfigError, TrainingError
from sr3.sampling.filling import build_filled
from sr3.training.mean import refine_mean
from sr3.training.run_dir import RunDir
from sr3.training.source_model import SourceModel, check_compatible, read_source_model

__all__ = ["check_same_teacher", "check_student", "open_teacher", "read_student", "read_teacher", "student_config"]

_STEPS, _BATCH = 3_000, 16
_TRAINING = {
    "steps": _STEPS,
    "batch": _BATCH,
    "seed": 0,
    "track": "none",
    "deterministic": False,
    "accumulate": 1,
    "precision": "auto",
    "compile": False,
    "start": "none",
    "keep": "last",
    "ema_decay": 0.995,
    "ema_others": (),
    "validate_every": 500,
    "save_every": 250,
}
_MACHINE = {name: _TRAINING[name] for name in _TRAINING.keys() - {"steps", "batch", "ema_decay"}}
_DATA = {"feed": "threads", "workers": 0, "stream": False, "cache_gib": DataConfig().cache_gib}
"""Like the training settings above: settings that depend on the machine and are not inherited from the teacher."""
_LEAST_CALLS = 16
"""Minimum number of teacher calls per sample, so that the discretisation of the teacher is fine enough."""
_CALLS = 4
"""Sampling steps of a student where nothing else is said."""


def read_teacher(model: str) -> SourceModel:
    """Find and read a model; CheckpointError when it cannot be distilled."""
    teacher = read_source_model(model)
    config = teacher.file.info.config
    if config.network.condition == "none":
        raise CheckpointError(
            f"{model}: generates images without an input; only super-resolution models can be distilled"
        )
    if config.objective.kind == "regression":
        raise CheckpointError(f"{model}: is a regression, which takes one call already; give a diffusion model")
    if config.objective.kind == "distillation":
        raise CheckpointError(f"{model}: is distilled already; give its teacher")
    if config.denoiser.prediction == "eps":
        raise CheckpointError(
            f"{model}: predicts eps, which does not determine y0 at the noisiest level; give a model that predicts "
            "v or y0"
        )
    return teacher


def read_student(model: str) -> SourceModel:
    """Find and read a distilled model, whose weights another student starts from; CheckpointError for others.

    It may have a restoration network, which then cleans the inputs in training, too, and does not change.
    """
    student = read_source_model(model, may_clean=True)
    if student.file.info.config.objective.kind != "distillation":
        raise CheckpointError(
            f"{model}: is not distilled; --start takes a student, whose training continues (without it, a student "
            "starts from its teacher's weights)"
        )
    return student


def student_config(
    teacher: SourceModel,
    *,
    steps: int | None = None,
    changes: Sequence[str] = (),
    mean: SourceModel | None = None,
    start: SourceModel | None = None,
) -> Config:
    """Build the settings of a student with a number of sampling steps, with `a.b=value` changes applied.

    Network, prediction type and pairs are those of the teacher. Batch size, precision and other settings that depend
    on the machine are not inherited. By default a student has four steps, and the learning rate is low and decays to 0
    over the second half of the run. With the start, another student, everything but the settings of the machine is
    taken from that student, the number of steps and the mean included. Settings that `objective` and `sampling` share
    need to be changed in `objective` only. With a mean, its output is the start of the student and its features are
    conditional inputs; x stays that of the teacher. Raises ConfigError for settings that contradict each other.
    """
    config = _of_teacher(teacher, steps or _CALLS) if start is None else _of_student(start, teacher, steps)
    if mean is not None:
        config = _with_mean(config, mean)
    named = {change.partition("=")[0].strip() for change in changes}
    return apply_settings(config, changes, complete=partial(_follow, named=named))


def _of_teacher(teacher: SourceModel, steps: int) -> Config:
    base = teacher.file.info.config
    objective = DistillationConfig(
        loss=base.objective.loss, teacher=teacher.file.info.name, digest=teacher.digest, steps=steps
    )
    return base.model_copy(
        update={
            "network": base.network.model_copy(update={"dropout": 0.0}),
            "objective": objective,
            "data": base.data.model_copy(update=_DATA),
            "optimizer": OptimizerConfig(learning_rate=1e-4, warmup=100),
            "training": base.training.model_copy(update=_TRAINING),
            "sampling": _sampling(base.sampling, objective),
        }
    )


def _of_student(student: SourceModel, teacher: SourceModel, steps: int | None) -> Config:
    base = student.file.info.config
    assert base.distillation is not None
    theirs = {"teacher": teacher.file.info.name, "digest": teacher.digest}
    objective = base.distillation.model_copy(update=theirs | ({} if steps is None else {"steps": steps}))
    return base.model_copy(
        update={
            "objective": objective,
            "data": base.data.model_copy(update=_DATA),
            "training": base.training.model_copy(update=_MACHINE),
        }
    )


def _with_mean(config: Config, mean: SourceModel) -> Config:
    """Give a student a mean; one that a student has already is replaced."""
    if config.mean is not None:
        network = mean.file.info.config.network
        same = config.mean.model_copy(update={"name": mean.file.info.name, "digest": mean.digest, "network": network})
        return config.model_copy(update={"mean": same})
    config = refine_mean(config, mean)
    assert config.mean is not None
    start = {"start": "mean", "gamma_first": 0.5}
    return config.model_copy(
        update={
            "mean": config.mean.model_copy(update={"condition": "enlarged"}),
            "objective": config.objective.model_copy(update=start),
        }
    )


def _follow(tree: dict[str, Any], *, named: Collection[str]) -> None:
    """Derive the settings of a student that follow from others, where they are not named themselves."""
    objective, sampling, optimizer = tree["objective"], tree["sampling"], tree["optimizer"]
    if objective["kind"] != "distillation":
        return
    sampling |= {name: objective[name] for name in SHARED if f"sampling.{name}" not in named}
    steps, length = objective["steps"], tree["training"]["steps"]
    if "optimizer.cooldown" not in named and isinstance(length, int):
        optimizer["cooldown"] = length // 2
    if "objective.teacher_steps" not in named and isinstance(steps, int) and steps > 0:
        objective["teacher_steps"] = max(4, ceil(_LEAST_CALLS / steps))


def _sampling(base: SamplingConfig, objective: DistillationConfig) -> SamplingConfig:
    return SamplingConfig(
        sampler="distilled",
        steps=objective.steps,
        eta=objective.eta,
        grid=objective.grid,
        start=objective.start,
        gamma_first=objective.gamma_first,
        clip=base.clip,
        correct=base.correct,
        condition_gamma=base.condition_gamma,
    )


def check_same_teacher(run: RunDir, teacher: SourceModel) -> None:
    """Raise TrainingError when a run to resume was started with another teacher."""
    settings = run.settings
    before = settings.distillation if settings is not None else None
    if before is not None and before.digest != teacher.digest:
        raise TrainingError(
            f"{run.path}: was started with another teacher ({before.teacher}, SHA-256 {before.digest[:12]}), or its "
            "weights have changed; give the same teacher, or another --out"
        )


def check_student(config: Config, teacher: SourceModel) -> None:
    """Raise ConfigError when the settings of a student do not match its teacher."""
    objective = config.distillation
    if objective is None or objective.digest != teacher.digest:
        raise ConfigError(
            "objective.digest: is not that of the teacher; use sr3 distill, which takes the settings from it"
        )
    check_compatible(config, teacher)


def open_teacher(config: Config, teacher: SourceModel, *, device: torch.device) -> Denoiser[Network]:
    """Load the teacher; ConfigError when the student does not match it."""
    check_student(config, teacher)
    return build_filled(teacher.file, device)
