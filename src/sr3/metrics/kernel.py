"""Kernel distance between two sets of features (KID, arXiv:1801.01401, section 4).

The squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, in its unbiased form over whole sets, in float64.
Features come in groups, those of one picture, so that pictures can be weighed when they are drawn anew. Pairs are
summed in blocks of rows, for all weights at once: no matrix of all pairs is held.
"""

import torch
from torch import Tensor

__all__ = ["kernel_distance", "kernel_distances"]

_AT_ONCE = 2**24
"""Pairs of features whose kernel is held at one time: 128 MiB."""


def kernel_distance(some: Tensor, other: Tensor) -> float:
    """Measure the squared discrepancy of two sets of features (n, d) and (m, d), at least 2 in each."""
    once = (torch.ones(1, len(features), dtype=torch.float64) for features in (some, other))
    return float(kernel_distances(some[:, None], other[:, None], *once))


def kernel_distances(some: Tensor, other: Tensor, weights: Tensor, other_weights: Tensor) -> Tensor:
    """Measure groups of features (n, p, d) and (m, p, d) taken as often as weights (t, n) and (t, m) say: shape (t,).

    Copies of a group are not compared; NaN where nothing is left to compare, as of one feature taken many times.
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
    groups = max(1, _AT_ONCE // (some.shape[1] * len(everyone)))
    for part, taken in zip(some.split(groups), weights.split(groups, dim=1), strict=True):
        kernel = _kernel(part.flatten(0, 1) @ everyone.mT, some.shape[2])
        by_group = kernel.reshape(len(part), some.shape[1], len(other), -1).sum(dim=(1, 3))
        total += (taken @ by_group * other_weights).sum(dim=1)
    return total


def _kernel(product: Tensor, dimension: int) -> Tensor:
    return (product / dimension + 1) ** 3
