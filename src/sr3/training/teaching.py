"""The teacher of a distillation: which models can be one, what its student's settings are, and that it is the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from sr3.build import Network, build_grid
from sr3.checkpoint import ModelFile, read_model
from sr3.config import Config, DistillationConfig, OptimizerConfig, SamplingConfig, apply_settings, read_toml
from sr3.config.distillation import SHARED
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.distillation import jump_levels
from sr3.digest import digest_of
from sr3.errors import CheckpointError, ConfigError, DataError, TrainingError
from sr3.inference.upscaler import build_filled
from sr3.training.run_dir import RunDir
from sr3.training.start import likeness
from sr3.zoo import find_model

__all__ = ["Teacher", "Teaching", "check_same", "check_student", "open_teaching", "read_teacher", "student_config"]

_STEPS = 3_000
_TRAINING = {
    "steps": _STEPS,
    "seed": 0,
    "start": "none",
    "keep": "last",
    "ema_decay": 0.995,
    "ema_others": (),
    "validate_every": 500,
    "save_every": 250,
}
_LEAST_CALLS = 16
"""Calls of the teacher from noise to picture; with fewer its own walk would be coarse."""


@dataclass(frozen=True)
class Teacher:
    """A model that is to be distilled, and the SHA-256 of its file."""

    file: ModelFile
    digest: str


@dataclass(frozen=True)
class Teaching:
    """The teacher at work, and its levels within each jump of the student, shape (steps, teacher_steps + 1)."""

    teacher: Denoiser[Network]
    jumps: Tensor


def read_teacher(model: str) -> Teacher:
    """Find and read a model; CheckpointError when it cannot be distilled."""
    path = find_model(model)
    file = read_model(path)
    config = file.info.config
    if config.network.condition == "none":
        raise CheckpointError(f"{model}: generates pictures from nothing; only models that enlarge can be distilled")
    if config.denoiser.objective == "regression":
        raise CheckpointError(f"{model}: is a regression, which answers in one call; name a model that samples")
    if config.denoiser.objective == "distillation":
        raise CheckpointError(f"{model}: is distilled already; name the model that it was made of")
    if config.denoiser.prediction == "eps":
        raise CheckpointError(
            f"{model}: predicts eps, which does not tell the picture where a student begins; name a model that "
            "predicts v or y0"
        )
    return Teacher(file, digest_of(path))


def student_config(teacher: Teacher, *, steps: int, changes: Sequence[str] = ()) -> Config:
    """Give the settings of a student of so many steps, with `a.b=value` changes over them.

    The network, what its output means and the pairs are the teacher's; the rate is low and falls to 0 over the second
    half, however long the run, unless that is changed. What `distillation` and `sampling` share need be changed only in
    the first. ConfigError for what cannot be.
    """
    base = teacher.file.info.config
    taught = DistillationConfig(
        teacher=teacher.file.info.name,
        digest=teacher.digest,
        steps=steps,
        teacher_steps=max(4, ceil(_LEAST_CALLS / steps)),
    )
    config = base.model_copy(
        update={
            "network": base.network.model_copy(update={"dropout": 0.0}),
            "denoiser": base.denoiser.model_copy(update={"objective": "distillation"}),
            "optimizer": OptimizerConfig(learning_rate=1e-4, warmup=100),
            "training": base.training.model_copy(update=_TRAINING),
            "sampling": _sampling(base.sampling, taught),
            "distillation": taught,
        }
    )
    shared = [f"distillation.{name}=" for name in SHARED]
    followed = [
        change.strip().replace("distillation.", "sampling.", 1)
        for change in changes
        if change.strip().startswith(tuple(shared))
    ]
    changed = apply_settings(config, [*changes, *followed])
    if any(change.strip().startswith("optimizer.cooldown=") for change in changes):
        return changed
    return apply_settings(changed, [f"optimizer.cooldown={changed.training.steps // 2}"])


def _sampling(base: SamplingConfig, taught: DistillationConfig) -> SamplingConfig:
    return SamplingConfig(
        sampler="distilled",
        steps=taught.steps,
        eta=taught.eta,
        grid=taught.grid,
        gamma_first=taught.gamma_first,
        clip=base.clip,
        correct=base.correct,
        condition_gamma=base.condition_gamma,
    )


def check_same(run: RunDir, teacher: Teacher) -> None:
    """Raise TrainingError when a run that is to go on was begun with another teacher."""
    if not (run.config.is_file() and run.has_begun):
        return
    before = read_toml(run.config.read_text(encoding="utf-8", errors="replace"), where=str(run.config)).distillation
    if before is not None and before.digest != teacher.digest:
        raise TrainingError(
            f"{run.path}: was begun with another teacher ({before.teacher}, SHA-256 {before.digest[:12]}), or its file "
            "has changed; name that file as it was, or give another --out"
        )


def check_student(config: Config, teacher: Teacher) -> None:
    """Raise ConfigError when a student of these settings is not a likeness of its teacher."""
    taught = config.distillation
    if taught is None or taught.digest != teacher.digest:
        raise ConfigError("distillation.digest: is not that of the teacher; take the settings from it (sr3 distill)")
    own, wanted = _likeness(config), _likeness(teacher.file.info.config)
    for name, value in wanted.items():
        if own[name] != value:
            raise ConfigError(
                f"{name} = {own[name]}: the teacher, {teacher.file.info.name}, has {value}, and its student must have "
                "the same; do not set it"
            )


def _likeness(config: Config) -> dict[str, object]:
    """Flatten the settings that weights and their meaning depend on, and those of the pairs."""
    pairs = config.data.model_dump(mode="json", include={"scale", "enlarged", "condition_gamma"})
    return likeness(config) | {f"data.{name}": value for name, value in pairs.items()}


def open_teaching(config: Config, teacher: Teacher, *, image_channels: int, device: torch.device) -> Teaching:
    """Make the teacher ready; ConfigError or DataError when student or pictures do not fit it."""
    check_student(config, teacher)
    info, taught = teacher.file.info, config.distillation
    assert taught is not None
    if info.image_channels != image_channels:
        raise DataError(
            f"the pictures have {image_channels} channels, but the teacher, {info.name}, takes {info.image_channels}; "
            "give pictures of its kind"
        )
    jumps = jump_levels(build_grid(config.sampling), eta=taught.eta, teacher_steps=taught.teacher_steps)
    return Teaching(build_filled(teacher.file, device), jumps)
