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
from sr3.networks.discriminator import DiscriminatorNet
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
    settings = config.objective
    match settings:
        case DenoisingConfig():
            return Denoising(settings)
        case RegressionConfig():
            adversary = build_adversary(config, settings.adversary, image_channels=image_channels, device=device)
            return Regression(settings, config.training.steps, adversary)
        case DistillationConfig():
            assert teacher is not None
            adversary = build_adversary(config, settings.adversary, image_channels=image_channels, device=device)
            jumps = jump_levels(build_grid(config.sampling), eta=settings.eta, teacher_steps=settings.teacher_steps)
            gets_conditioning = config.mean is None  # the teacher has no mean, and knows nothing of its features
            return Distillation(settings, Teacher(teacher, jumps, config.sampling.clip, gets_conditioning), adversary)
        case _:
            assert_never(settings)


def build_adversary(
    config: Config, settings: AdversaryConfig, *, image_channels: int, device: torch.device
) -> Adversary | None:
    """Make what the settings ask for; ConfigError or CheckpointError when features cannot be computed."""
    if not settings.is_used:
        return None
    if settings.uses_features and image_channels != 3:
        raise ConfigError(
            f"objective.adversary.features needs RGB images, but these have {image_channels} channels; set "
            "objective.adversary.perceptual, texture and learned to 0"
        )
    maps = load_maps(settings.features, device) if settings.uses_features else None
    found = _discriminator(config, settings, image_channels, device) if settings.adversarial else None
    heads = load_stlpips_heads(settings.features) if settings.learned else ()
    return Adversary(settings, maps, found, heads, config.training.accumulate, config.data.scale)


def _discriminator(
    config: Config, settings: AdversaryConfig, image_channels: int, device: torch.device
) -> Discriminator:
    if settings.discriminator == "projected":
        if image_channels != 3:
            raise ConfigError(
                f"objective.adversary.projected needs RGB images, but these have {image_channels} channels; set "
                "objective.adversary.discriminator to enhancenet"
            )
        return open_projected(settings, device=device)
    size = {"side": config.data.crop, "width": settings.width, "downsamplings": settings.downsamplings}
    network = DiscriminatorNet(image_channels, **size).to(device)
    return EnhanceNetDiscriminator(
        network, build_optimizer(network.parameters(), config.optimizer), settings.max_accuracy
    )
