"""Frechet distance between two sets of features (FID, arXiv:1706.08500, section 4).

With the features of another network than Inception the number is not FID and is called by that network's name.
"""

import torch
from torch import Tensor

__all__ = ["frechet_distance"]


def frechet_distance(some: Tensor, other: Tensor) -> float:
    """Measure |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) between the Gaussians fitted to two sets (n, d), in float64.

    Sets smaller than d give a distance that is too large, by the same for equal sizes: compare only such.
    """
    if min(len(some), len(other)) < 2:
        raise ValueError("a Frechet distance needs at least 2 features in each set")
    (mean, centred), (other_mean, other_centred) = _centred(some), _centred(other)
    few = max(len(some), len(other)) < some.shape[1]
    shared = _shared_of_few(centred, other_centred) if few else _shared_of_many(centred, other_centred)
    spread = centred.square().sum() + other_centred.square().sum()
    return float((mean - other_mean).square().sum() + spread - 2 * shared)


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean, and what is left of each feature, so scaled that A^T A is the covariance."""
    features = features.double()
    mean = features.mean(dim=0)
    return mean, (features - mean) / (len(features) - 1) ** 0.5


def _shared_of_few(some: Tensor, other: Tensor) -> Tensor:
    """Trace of (S1 S2)^(1/2) from A and B: S1 S2 = A^T A B^T B has the eigenvalues of (A B^T)(A B^T)^T and zeros."""
    return torch.linalg.svdvals(some @ other.mT).sum()


def _shared_of_many(some: Tensor, other: Tensor) -> Tensor:
    """Trace of (S1 S2)^(1/2) from d x d matrices: S1 S2 has the eigenvalues of L^T S2 L for any L with L L^T = S1."""
    covariance = some.mT @ some
    root, failed = torch.linalg.cholesky_ex(covariance)
    if failed:  # of no full rank, as drawn sets may be
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp(min=0).sqrt()
    return torch.linalg.eigvalsh(root.mT @ (other.mT @ other) @ root).clamp(min=0).sqrt().sum()
