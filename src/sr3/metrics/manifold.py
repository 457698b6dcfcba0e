"""Precision and recall of features (arXiv:1904.06991, Eq. 1 and 2).

The manifold of a set is the union of balls around its features, each reaching to the k-th nearest other one.
"""

import torch
from torch import Tensor

__all__ = ["NEIGHBOURS", "inside_manifold"]

NEIGHBOURS = 3
"""The k of the source."""

_AT_ONCE = 1024


def inside_manifold(features: Tensor, manifold: Tensor, *, neighbours: int = NEIGHBOURS) -> Tensor:
    """Tell which of (n, d) lie in the manifold of (m, d), m above the number of neighbours: bool, shape (n,).

    The mean is precision for features of results in the manifold of truths, and recall the other way round.
    """
    if len(manifold) <= neighbours:
        raise ValueError(f"a manifold of {neighbours} neighbours needs more features than {len(manifold)}")
    features, manifold = features.double(), manifold.double()
    # The nearest of all is the feature itself.
    radii = torch.cat([_apart(part, manifold).kthvalue(neighbours + 1).values for part in manifold.split(_AT_ONCE)])
    return torch.cat([(_apart(part, manifold) <= radii).any(dim=1) for part in features.split(_AT_ONCE)])


def _apart(some: Tensor, other: Tensor) -> Tensor:
    return torch.cdist(some, other, compute_mode="use_mm_for_euclid_dist")
