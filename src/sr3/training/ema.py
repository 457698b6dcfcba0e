"""Exponential moving averages of the weights: one, or several with different decays."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["Averages", "copy_weights", "ema_decay_at", "update_all", "update_ema"]

Averages = dict[float, dict[str, Tensor]]
"""Averages by decay: tensors by parameter name."""


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """Copy the weights of a network, with their memory format and sharding."""
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def ema_decay_at(step: int, decay: float) -> float:
    """Compute the decay after a step: (1 + step) / (10 + step) up to decay, so early weights are forgotten quickly."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(averages: Iterable[Tensor], weights: Iterable[Tensor], decay: float) -> None:
    """Update the averages in place: a = decay a + (1 - decay) w; a few kernels for all tensors on a GPU."""
    get_ema_multi_avg_fn(decay)(list(averages), list(weights), 0)


def update_all(averages: Averages, weights: Mapping[str, Tensor], step: int) -> None:
    """Update every average after a step, each with its own decay."""
    for decay, average in averages.items():
        update_ema(average.values(), (weights[name] for name in average), ema_decay_at(step, decay))
