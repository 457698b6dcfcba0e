"""Settings into objectives, with what they learn from: a teacher, features, a discriminator.

A sibling of `build.py`, apart from it so that what only samples loads no losses.
"""

from typing import Any, assert_never

import torch

from sr3.build import build_grid, build_optimizer
from sr3.config import (
    AdversaryConfig,
    Config,
    DenoisingConfig,
    DistillationConfig,
    RegressionConfig,
)
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.distillation import jump_levels
from sr3.errors import ConfigError
from sr3.metrics.maps import load_maps, load_stlpips_heads
from sr3.networks.critic import Critic
from sr3.objectives.adversary import Adversary, EnhanceNetDiscriminator
from sr3.objectives.denoising import Denoising
from sr3.objectives.distillation import Distillation, Teacher
from sr3.objectives.projected_gan import open_projected
from sr3.objectives.protocol import Discriminator, Objective
from sr3.objectives.regression import Regression

__all__ = ["build_adversary", "build_objective"]


def build_objective(
    config: Config, *, image_channels: int, device: torch.device, teacher: Denoiser[Any] | None = None
) -> Objective:
    """Choose the objective of a run; a discriminator is freshly initialised.

    teacher: the model that a student learns from, on the device. Raises ConfigError or CheckpointError when features
    cannot be computed of such images.
    """
    wanted = config.objective
    match wanted:
        case DenoisingConfig():
            return Denoising(wanted)
        case RegressionConfig():
            adversary = build_adversary(config, wanted.adversary, image_channels=image_channels, device=device)
            return Regression(wanted, config.training.steps, adversary)
        case DistillationConfig():
            assert teacher is not None
            adversary = build_adversary(config, wanted.adversary, image_channels=image_channels, device=device)
            jumps = jump_levels(build_grid(config.sampling), eta=wanted.eta, teacher_steps=wanted.teacher_steps)
            told = config.mean is None  # the teacher has no mean, and knows nothing of its features
            return Distillation(wanted, Teacher(teacher, jumps, config.sampling.clip, told), adversary)
        case _:
            assert_never(wanted)


def build_adversary(
    config: Config, wanted: AdversaryConfig, *, image_channels: int, device: torch.device
) -> Adversary | None:
    """Make what the settings ask for; ConfigError or CheckpointError when features cannot be computed."""
    if not wanted.is_used:
        return None
    if wanted.uses_features and image_channels != 3:
        raise ConfigError(
            f"adversary.features see colour pictures, not {image_channels} channels; set their weights to 0"
        )
    maps = load_maps(wanted.features, device) if wanted.uses_features else None
    found = _discriminator(config, wanted, image_channels, device) if wanted.adversarial else None
    heads = load_stlpips_heads(wanted.features) if wanted.learned else ()
    return Adversary(wanted, maps, found, heads, config.training.accumulate)


def _discriminator(config: Config, wanted: AdversaryConfig, image_channels: int, device: torch.device) -> Discriminator:
    if wanted.discriminator == "projected":
        if image_channels != 3:
            raise ConfigError(f"adversary.projected networks see colour pictures, not {image_channels} channels")
        return open_projected(wanted, device=device)
    critic = Critic(image_channels, side=config.data.crop, width=wanted.width, downsamplings=wanted.downsamplings).to(
        device
    )
    return EnhanceNetDiscriminator(critic, build_optimizer(critic.parameters(), config.optimizer), wanted.max_accuracy)
