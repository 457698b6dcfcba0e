"""Comparisons of two sets of features: Frechet distance (FID), kernel distance (KID), precision and recall.

Frechet distance: arXiv:1706.08500, section 4. Kernel distance: arXiv:1801.01401, section 4, the squared maximum mean
discrepancy under the kernel (x.y / d + 1)^3, in its unbiased form over whole sets. Precision and recall:
arXiv:1904.06991, Eq. 1 and 2; the manifold of a set is the union of balls around its features, each reaching to the
k-th nearest other one. All in float64. With the features of another network than Inception the numbers are not FID and
KID, and are called by that network's name.

For the kernel distance, the features of one image form a group, so that images can be weighted in a bootstrap. Pairs
are summed in blocks of rows, for all weights at once: the matrix of all pairs is never held in memory.
"""

import torch
from torch import Tensor

__all__ = ["NEIGHBOURS", "frechet_distance", "inside_manifold", "kernel_distance", "kernel_distances"]


def frechet_distance(some: Tensor, other: Tensor) -> float:
    """Measure |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) between the Gaussians fitted to two sets (n, d), in float64.

    Sets smaller than d bias the distance upwards, equally for sets of equal size: compare only such sets.
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


_PAIRS_AT_ONCE = 2**24
"""Pairs of features whose kernel is held at one time: 128 MiB."""


def kernel_distance(some: Tensor, other: Tensor) -> float:
    """Measure the squared discrepancy of two sets of features (n, d) and (m, d), at least 2 in each."""
    once = (torch.ones(1, len(features), dtype=torch.float64) for features in (some, other))
    return float(kernel_distances(some[:, None], other[:, None], *once))


def kernel_distances(some: Tensor, other: Tensor, weights: Tensor, other_weights: Tensor) -> Tensor:
    """Measure groups of features (n, p, d) and (m, p, d), repeated by the weights (t, n) and (t, m): shape (t,).

    Copies of a group are not compared with each other; NaN if no pair is left, such as for a single repeated feature.
    ValueError for fewer than 2 features in a set.
    """
    size = some.shape[1]
    if min(len(some), len(other)) * size < 2:
        raise ValueError("a kernel distance needs at least 2 features in each set")
    some, other, weights, other_weights = (part.double() for part in (some, other, weights, other_weights))
    pairs = weights.sum(dim=1) * other_weights.sum(dim=1) * size**2
    across = _sums(some, other, weights, other_weights) / pairs
    return _inside(some, weights) + _inside(other, other_weights) - 2 * across


def _inside(features: Tensor, weights: Tensor) -> Tensor:
    """Average the kernel over pairs of different features of one set, copies of a group left out."""
    size = features.shape[1]
    squares = weights.square()
    within = torch.stack([_kernel(group @ group.mT, features.shape[2]).sum() for group in features])
    themselves = _kernel(features.square().sum(dim=2), features.shape[2]).sum(dim=1)
    total = _sums(features, features, weights, weights) - squares @ within + weights @ (within - themselves)
    count = weights.sum(dim=1)
    pairs = (count**2 - squares.sum(dim=1)) * size**2 + count * size * (size - 1)
    return torch.where(pairs > 0, total / pairs, torch.nan)


def _sums(some: Tensor, other: Tensor, weights: Tensor, other_weights: Tensor) -> Tensor:
    """Sum the kernel over all pairs of two sets under all weights, a block of groups of the first at a time: (t,)."""
    everyone = other.flatten(0, 1)
    total = weights.new_zeros(len(weights))
    groups = max(1, _PAIRS_AT_ONCE // (some.shape[1] * len(everyone)))
    for part, taken in zip(some.split(groups), weights.split(groups, dim=1), strict=True):
        kernel = _kernel(part.flatten(0, 1) @ everyone.mT, some.shape[2])
        by_group = kernel.reshape(len(part), some.shape[1], len(other), -1).sum(dim=(1, 3))
        total += (taken @ by_group * other_weights).sum(dim=1)
    return total


def _kernel(product: Tensor, dimension: int) -> Tensor:
    return (product / dimension + 1) ** 3


NEIGHBOURS = 3
"""The k of the source."""

_ROWS_AT_ONCE = 1024


def inside_manifold(features: Tensor, manifold: Tensor, *, neighbours: int = NEIGHBOURS) -> Tensor:
    """Return which of (n, d) lie in the manifold of (m, d), m above the number of neighbours: bool, shape (n,).

    The mean is precision for features of results in the manifold of truths, and recall the other way round.
    """
    if len(manifold) <= neighbours:
        raise ValueError(f"a manifold of {neighbours} neighbours needs more features than {len(manifold)}")
    features, manifold = features.double(), manifold.double()
    # The nearest of all is the feature itself.
    radii = torch.cat(
        [_between(part, manifold).kthvalue(neighbours + 1).values for part in manifold.split(_ROWS_AT_ONCE)]
    )
    return torch.cat([(_between(part, manifold) <= radii).any(dim=1) for part in features.split(_ROWS_AT_ONCE)])


def _between(some: Tensor, other: Tensor) -> Tensor:
    return torch.cdist(some, other, compute_mode="use_mm_for_euclid_dist")
