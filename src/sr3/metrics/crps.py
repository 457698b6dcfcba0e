"""Continuous ranked probability score of samples, per pixel: the energy score of single values.

CRPS = E|Y - y| - E|Y - Y'| / 2 (Gneiting and Raftery 2007, Eq. 21), in its fair form: Y and Y' are different samples,
so the score of few samples is that of many on average. It says nothing of how pixels go together.
"""

import torch
from torch import Tensor

from sr3.types import Image

__all__ = ["crps"]


def crps(samples: Tensor, truth: Image) -> Tensor:
    """Score samples (k, b, c, h, w), k at least 2, of a truth (b, c, h, w): mean over values, [0, 1] range, shape (b,).

    Lower is better. For one certain answer it is the mean absolute error.
    """
    count = len(samples)
    if count < 2:
        raise ValueError(f"a CRPS needs at least 2 samples, got {count}")
    values = samples.double() / 2
    miss = (values - truth.double() / 2).abs().mean(dim=0)
    # Of sorted values the sum of all |Y - Y'| is the sum of (2 r - k - 1) Y_r, r from 1 to k, over pairs once.
    ranks = torch.arange(1, count + 1, dtype=torch.float64, device=values.device)
    weights = (2 * ranks - count - 1).reshape(-1, 1, 1, 1, 1)
    apart = (weights * values.sort(dim=0).values).sum(dim=0) * 2 / (count * (count - 1))
    return (miss - apart / 2).mean(dim=(1, 2, 3))
