"""Warnings about training settings that are likely to go wrong, each with a remedy. Nothing is changed."""

import math
from collections.abc import Iterator, Mapping

import torch

from sr3.config import Config
from sr3.runtime.device import computes_bfloat16

__all__ = ["before_training", "imitated", "of_validation"]

_RATE_AT_BATCH_1 = 4e-4
"""Rate of Adam above which small U-Nets were seen to burst, times the root of the batch."""
_RATE_TO_WARM_UP = 1e-4
_FAR_BELOW = 3.0
"""Decibels below bicubic; a sample may well be one or two below, as the paper's are below its regression."""


def before_training(config: Config) -> Iterator[str]:
    """Look at settings that are allowed and seldom right."""
    optimizer, batch = config.optimizer, config.training.batch
    most = _RATE_AT_BATCH_1 * math.sqrt(batch)
    if optimizer.learning_rate > most:
        yield (
            f"a learning rate of {optimizer.learning_rate:g} is high for batches of {batch}; if the loss bursts, set "
            f"optimizer.learning_rate to {most:.2g} or less, or training.batch higher"
        )
    if not optimizer.warmup and optimizer.learning_rate >= _RATE_TO_WARM_UP:
        yield (
            f"a learning rate of {optimizer.learning_rate:g} from the first step on may burst; "
            "set optimizer.warmup to some hundred steps"
        )
    matches_all = config.sampling.correct and config.sampling.correct_cell == 1
    if config.data.degradation in ("noise", "jpeg", "photo") and matches_all:
        yield (
            f"inputs degraded by {config.data.degradation} should not be matched pixel by pixel: set "
            "sampling.correct_cell to 8, or sampling.correct to false"
        )
    if config.data.degradation == "paired" and config.sampling.correct:
        yield (
            "the result is matched to the input as if that were made by bicubic; if your small pictures are not, set "
            "sampling.correct to false"
        )
    if config.training.steps < optimizer.warmup:
        yield (
            f"training ends after {config.training.steps} steps, before the {optimizer.warmup} of warm-up; "
            "set optimizer.warmup lower"
        )


def imitated(config: Config, device: torch.device) -> Iterator[str]:
    """Say that a type has no instructions on the device."""
    if config.training.precision == "bfloat16" and not computes_bfloat16(device):
        yield (
            f"{device.type} here has no instructions for bfloat16 and imitates it slowly; "
            "use --set training.precision=auto"
        )


def of_validation(config: Config, step: int, figures: Mapping[str, float]) -> Iterator[str]:
    """Look at the figures of held-out images, once they should be good."""
    if "psnr_bicubic" not in figures or step < config.training.steps / 2:
        return
    behind = figures["psnr_bicubic"] - figures["psnr"]
    if behind > _FAR_BELOW:
        beside = "bicubic's" if config.data.scale > 1 else "the input's"
        yield (
            f"held-out PSNR is {behind:.1f} dB below {beside}: look at the pictures in samples/; if they are noise, "
            "train longer, or check that data.scale and the images are what you meant"
        )
