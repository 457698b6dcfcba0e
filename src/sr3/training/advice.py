"""Warnings about training settings that are likely to fail, each with a remedy. No setting is changed."""

import math
from collections.abc import Iterator, Mapping

import torch

from sr3.config import Config
from sr3.runtime.device import computes_bfloat16

__all__ = ["after_validation", "before_training", "emulated_dtype"]

_RATE_AT_BATCH_1 = 4e-4
"""Learning rate of Adam above which small U-Nets diverged, as a factor of the square root of the batch size."""
_RATE_TO_WARM_UP = 1e-4
_FAR_BELOW = 3.0
"""Decibels below bicubic. One or two are normal for a sample: the paper's samples are below its regression too."""


def before_training(config: Config) -> Iterator[str]:
    """Warn about settings that are valid but rarely useful."""
    optimizer, batch = config.optimizer, config.training.batch
    most = _RATE_AT_BATCH_1 * math.sqrt(batch)
    if optimizer.learning_rate > most:
        yield (
            f"a learning rate of {optimizer.learning_rate:g} is high for a batch size of {batch}; if the loss "
            f"diverges, set optimizer.learning_rate to {most:.2g} or less, or training.batch higher"
        )
    if not optimizer.warmup and optimizer.learning_rate >= _RATE_TO_WARM_UP:
        yield (
            f"a learning rate of {optimizer.learning_rate:g} without warm-up may diverge; "
            "set optimizer.warmup to several hundred steps"
        )
    matches_all = config.sampling.correct and config.sampling.correct_cell == 1 and config.restoration is None
    if config.data.degradation in ("noise", "jpeg", "photo") and matches_all:
        yield (
            f"inputs degraded by {config.data.degradation} should not be matched pixel by pixel: set "
            "sampling.correct_cell to 8, or sampling.correct to false"
        )
    if config.data.degradation == "paired" and config.sampling.correct:
        yield (
            "the correction assumes inputs made by bicubic downscaling; if your low-resolution images are not, set "
            "sampling.correct to false"
        )
    if config.training.steps < optimizer.warmup:
        yield (
            f"training ends after {config.training.steps} steps, before the {optimizer.warmup} steps of warm-up; "
            "set optimizer.warmup lower"
        )


def emulated_dtype(config: Config, device: torch.device) -> Iterator[str]:
    """Warn about a data type that the device emulates."""
    if config.training.precision == "bfloat16" and not computes_bfloat16(device):
        yield (f"{device.type} on this machine emulates bfloat16, which is slow; use --set training.precision=auto")


def after_validation(config: Config, step: int, metrics: Mapping[str, float]) -> Iterator[str]:
    """Warn about poor metrics of the held-out images in the second half of a run."""
    if "psnr_bicubic" not in metrics or step < config.training.steps / 2:
        return
    behind = metrics["psnr_bicubic"] - metrics["psnr"]
    if behind > _FAR_BELOW:
        beside = "bicubic's" if config.data.scale > 1 else "the input's"
        yield (
            f"held-out PSNR is {behind:.1f} dB below {beside}: look at the images in samples/; if they are noise, "
            "train longer, or check data.scale and the training images"
        )
