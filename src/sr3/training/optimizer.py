"""Adam and its learning rate: linear warm-up, constant, optional linear cool-down."""

from collections.abc import Iterable

import torch
from torch import Tensor

from sr3.config import OptimizerConfig

__all__ = ["build_optimizer", "learning_rate_at"]


def build_optimizer(parameters: Iterable[Tensor], config: OptimizerConfig) -> torch.optim.Adam:
    """Build Adam with the settings' moments; the loop sets the rate before every step."""
    betas = (config.beta1, config.beta2)
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=betas, fused=True)


def learning_rate_at(step: int, config: OptimizerConfig, *, steps: int) -> float:
    """Learning rate of step 0 .. steps - 1."""
    rising = (step + 1) / config.warmup if config.warmup else 1.0
    falling = (steps - step) / config.cooldown if config.cooldown else 1.0
    return config.learning_rate * min(1.0, rising, falling)
