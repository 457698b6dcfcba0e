"""Diversity: how much the samples of one input differ."""

import torch
from torch import Tensor

__all__ = ["deviation", "feature_spread"]


def deviation(samples: Tensor) -> Tensor:
    """Standard deviation over samples, mean over pixels and channels, in the [0, 1] range.

    samples: (k, b, c, h, w) in [-1, 1], k at least 2; returns shape (b,).
    """
    if len(samples) < 2:
        raise ValueError(f"a deviation needs at least 2 samples, got {len(samples)}")
    return (samples.double() / 2).std(dim=0).mean(dim=(1, 2, 3))


def feature_spread(features: Tensor) -> float:
    """Mean Euclidean distance between the features (k, d) of each two of k samples, k at least 2."""
    if len(features) < 2:
        raise ValueError(f"a spread needs at least 2 samples, got {len(features)}")
    return float(torch.pdist(features.double()).mean())
