"""Distances between two sets of features: the Frechet distance (FID's, arXiv:1706.08500, section 4).

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
    (mean, covariance), (other_mean, other_covariance) = _moments(some), _moments(other)
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
    shared = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    return float((mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * shared)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.double()
    return features.mean(dim=0), torch.cov(features.mT)
