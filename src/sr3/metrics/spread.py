"""The spread of the samples of one input: deviation, ranks, coverage, and spread to error.

If the truth came from the same distribution as the k samples, its rank among them would be uniform over k + 1 places
(Talagrand's histogram), and the error of their mean would equal their deviation, up to a factor for small k.
"""

import torch
from torch import Tensor

from sr3.types import Image

__all__ = ["deviation", "feature_spread", "nominal_coverage", "rank_coverage", "rank_histogram", "spread_to_error"]


def rank_histogram(samples: Tensor, truth: Image) -> Tensor:
    """Share of values of the truth at each rank among k samples (k, b, c, h, w): shape (b, k + 1), sums to 1.

    Rank r means that r samples are below. Where samples equal the truth, as in 8-bit files, the possible ranks share
    the value evenly.
    """
    count = len(samples)
    below = (samples < truth).sum(dim=0).flatten(1)
    equal = (samples == truth).sum(dim=0).flatten(1)
    share = 1 / (equal + 1).double()
    ranks = [(share * ((below <= rank) & (rank <= below + equal))).mean(dim=1) for rank in range(count + 1)]
    return torch.stack(ranks, dim=1)


def rank_coverage(samples: Tensor, truth: Image) -> Tensor:
    """Share of values of the truth between the least and the greatest of k samples, shape (b,); ties are shared."""
    ranks = rank_histogram(samples, truth)
    return 1 - ranks[:, 0] - ranks[:, -1]


def nominal_coverage(count: int) -> float:
    """Share of values of the truth that should lie within k samples: (k - 1) / (k + 1)."""
    return (count - 1) / (count + 1)


def spread_to_error(samples: Tensor, truth: Image) -> Tensor:
    """Ratio of the deviation of k samples to the error of their mean, as RMS over pixels, shape (b,).

    The variance is the unbiased one times (k + 1) / k (Fortin et al. 2014, Eq. 15), so 1 is expected of samples from
    the distribution of the truth, less of overconfident ones. k is at least 2.
    """
    count = len(samples)
    if count < 2:
        raise ValueError(f"a spread needs at least 2 samples, got {count}")
    values = samples.double()
    error = (values.mean(dim=0) - truth).square().mean(dim=(1, 2, 3))
    variance = values.var(dim=0).mean(dim=(1, 2, 3))
    return ((count + 1) / count * variance / error).sqrt()


def deviation(samples: Tensor) -> Tensor:
    """Standard deviation over samples, mean over pixels and channels, in the [0, 1] range.

    samples: (k, b, c, h, w) in [-1, 1], k at least 2; returns shape (b,).
    """
    if len(samples) < 2:
        raise ValueError(f"a deviation needs at least 2 samples, got {len(samples)}")
    return (samples.double() / 2).std(dim=0).mean(dim=(1, 2, 3))


def feature_spread(features: Tensor) -> float:
    """Mean Euclidean distance between the features (k, d) of all pairs of k samples, k at least 2."""
    if len(features) < 2:
        raise ValueError(f"a spread needs at least 2 samples, got {len(features)}")
    return float(torch.pdist(features.double()).mean())
