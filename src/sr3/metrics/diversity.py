"""How much samples of one input differ: what a distribution has and a regression has not."""

import torch
from torch import Tensor

__all__ = ["coverage", "deviation", "feature_spread"]


def deviation(samples: Tensor) -> Tensor:
    """Standard deviation over samples, mean over pixels and channels, in the [0, 1] range.

    samples: (k, b, c, h, w) in [-1, 1], k at least 2; returns shape (b,).
    """
    if len(samples) < 2:
        raise ValueError(f"a deviation needs at least 2 samples, got {len(samples)}")
    return (samples.double() / 2).std(dim=0).mean(dim=(1, 2, 3))


def coverage(samples: Tensor, truth: Tensor) -> Tensor:
    """Share of values of the truth that lie between the least and the greatest of k samples, shape (b,).

    Were the truth drawn as the samples are, it would be (k - 1) / (k + 1).
    samples: (k, b, c, h, w); truth: (b, c, h, w).
    """
    low, high = torch.aminmax(samples, dim=0)
    return ((truth >= low) & (truth <= high)).double().mean(dim=(1, 2, 3))


def feature_spread(features: Tensor) -> float:
    """Mean Euclidean distance between the features (k, d) of each two of k samples, k at least 2."""
    if len(features) < 2:
        raise ValueError(f"a spread needs at least 2 samples, got {len(features)}")
    return float(torch.pdist(features.double()).mean())
