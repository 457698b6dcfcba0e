"""The moving average of the weights, which is what samples."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["ema_decay_at", "update_ema"]


def ema_decay_at(step: int, decay: float) -> float:
    """Decay of the update after step: (1 + step) / (10 + step) until it reaches decay, so the start is forgotten."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(averages: Iterable[Tensor], weights: Iterable[Tensor], decay: float) -> None:
    """Move the averages towards the weights, in place: a = decay a + (1 - decay) w."""
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, 1 - decay)
