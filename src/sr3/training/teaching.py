"""The teacher of a distillation: which models can teach, the settings of their student, and that it stays the same."""

from collections.abc import Sequence
from math import ceil

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
from sr3.training.origin import Origin, check_likeness, read_origin
from sr3.training.run_dir import RunDir

__all__ = ["check_same", "check_student", "open_teacher", "read_teacher", "student_config"]

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
_DATA = {"feed": "threads", "workers": 0, "stream": False, "cache_gib": DataConfig().cache_gib}
"""With the settings of training above, what belongs to the machine that the teacher learnt on: never inherited."""
_LEAST_CALLS = 16
"""Calls of the teacher from noise to picture; with fewer its own walk would be coarse."""


def read_teacher(model: str) -> Origin:
    """Find and read a model; CheckpointError when it cannot be distilled."""
    teacher = read_origin(model)
    config = teacher.file.info.config
    if config.network.condition == "none":
        raise CheckpointError(f"{model}: generates pictures from nothing; only models that enlarge can be distilled")
    if config.objective.kind == "regression":
        raise CheckpointError(f"{model}: is a regression, which answers in one call; name a model that samples")
    if config.objective.kind == "distillation":
        raise CheckpointError(f"{model}: is distilled already; name the model that it was made of")
    if config.denoiser.prediction == "eps":
        raise CheckpointError(
            f"{model}: predicts eps, which does not tell the picture where a student begins; name a model that "
            "predicts v or y0"
        )
    return teacher


def student_config(teacher: Origin, *, steps: int, changes: Sequence[str] = (), mean: Origin | None = None) -> Config:
    """Give the settings of a student of so many steps, with `a.b=value` changes over them.

    The network, what its output means and the pairs are the teacher's, but not batch, precision and whatever else
    belongs to the machine that it learnt on; the rate is low and falls to 0 over the second
    half, however long the run, unless that is changed. What `objective` and `sampling` share need be changed only in
    the first. With a mean, its picture is where the student starts, and its features are seen; x stays the teacher's.
    ConfigError for what cannot be.
    """
    base = teacher.file.info.config
    taught = DistillationConfig(
        loss=base.objective.loss, teacher=teacher.file.info.name, digest=teacher.digest, steps=steps
    )
    config = base.model_copy(
        update={
            "network": base.network.model_copy(update={"dropout": 0.0}),
            "objective": taught,
            "data": base.data.model_copy(update=_DATA),
            "optimizer": OptimizerConfig(learning_rate=1e-4, warmup=100),
            "training": base.training.model_copy(update=_TRAINING),
            "sampling": _sampling(base.sampling, taught),
        }
    )
    if mean is not None:
        config = refine_mean(config, mean)
        assert config.mean is not None
        config = config.model_copy(update={"mean": config.mean.model_copy(update={"condition": "enlarged"})})
        defaults = ("objective.start=mean", "objective.gamma_first=0.5")
        changes = (*defaults, *changes)
    given = {change.partition("=")[0].strip(): change.partition("=")[2].strip() for change in changes}
    followed = [f"sampling.{name}={given[key]}" for name in SHARED if (key := f"objective.{name}") in given]
    changed = apply_settings(config, [*changes, *followed])
    assert changed.distillation is not None
    left = {
        "optimizer.cooldown": changed.training.steps // 2,
        "objective.teacher_steps": max(4, ceil(_LEAST_CALLS / changed.distillation.steps)),
    }
    return apply_settings(changed, [f"{key}={value}" for key, value in left.items() if key not in given])


def _sampling(base: SamplingConfig, taught: DistillationConfig) -> SamplingConfig:
    return SamplingConfig(
        sampler="distilled",
        steps=taught.steps,
        eta=taught.eta,
        grid=taught.grid,
        start=taught.start,
        gamma_first=taught.gamma_first,
        clip=base.clip,
        correct=base.correct,
        condition_gamma=base.condition_gamma,
    )


def check_same(run: RunDir, teacher: Origin) -> None:
    """Raise TrainingError when a run that is to go on was begun with another teacher."""
    settings = run.settings
    before = settings.distillation if settings is not None else None
    if before is not None and before.digest != teacher.digest:
        raise TrainingError(
            f"{run.path}: was begun with another teacher ({before.teacher}, SHA-256 {before.digest[:12]}), or its "
            "weights have changed; name it as it was, or give another --out"
        )


def check_student(config: Config, teacher: Origin) -> None:
    """Raise ConfigError when a student of these settings is not a likeness of its teacher."""
    taught = config.distillation
    if taught is None or taught.digest != teacher.digest:
        raise ConfigError("objective.digest: is not that of the teacher; take the settings from it (sr3 distill)")
    check_likeness(config, teacher)


def open_teacher(config: Config, teacher: Origin, *, device: torch.device) -> Denoiser[Network]:
    """Make the teacher ready; ConfigError when the student does not fit it."""
    check_student(config, teacher)
    return build_filled(teacher.file, device)
