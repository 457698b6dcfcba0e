"""The kernel distance of two sets of features: KID with Inception's (arXiv:1801.01401, section 4).

The squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, in its unbiased form over whole sets, in float64.
Features come in groups, those of one picture, so that pictures can be weighed when they are drawn anew.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["KernelSums", "kernel_distance", "kernel_sums"]


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel between n groups of p features of one set and m of another.

    within, across: (n, n) and (n, m), sums over all pairs of two groups; diagonal: (n,), of each feature with itself.
    """

    some: Tensor
    some_diagonal: Tensor
    other: Tensor
    other_diagonal: Tensor
    across: Tensor
    per_group: int

    def distance(self, weights: Tensor, other_weights: Tensor) -> float:
        """Estimate with groups taken as often as weights (n,) and (m,) say; copies of a group are not compared."""
        size = self.per_group
        across = weights @ self.across @ other_weights / (weights.sum() * other_weights.sum() * size**2)
        inside = _unbiased(self.some, self.some_diagonal, weights, size)
        return float(inside + _unbiased(self.other, self.other_diagonal, other_weights, size) - 2 * across)


def kernel_distance(some: Tensor, other: Tensor) -> float:
    """Measure the squared discrepancy of two sets of features (n, d) and (m, d), at least 2 in each."""
    sums = kernel_sums(some[:, None], other[:, None])
    return sums.distance(torch.ones(len(some)).double(), torch.ones(len(other)).double())


def kernel_sums(some: Tensor, other: Tensor) -> KernelSums:
    """Sum the kernel over groups of features (n, p, d) and (m, p, d), at least 2 features in each set."""
    if min(len(some) * some.shape[1], len(other) * other.shape[1]) < 2:
        raise ValueError("a kernel distance needs at least 2 features in each set")
    some, other = some.double(), other.double()
    return KernelSums(
        _sums(some, some), _diagonal(some), _sums(other, other), _diagonal(other), _sums(some, other), some.shape[1]
    )


def _sums(some: Tensor, other: Tensor) -> Tensor:
    """Sum over pairs, group by group, so that no matrix of all pairs is held."""
    everyone = other.flatten(0, 1).mT
    rows = [_kernel(group @ everyone, group.shape[1]).sum(dim=0) for group in some]
    return torch.stack(rows).reshape(len(some), len(other), -1).sum(dim=2)


def _diagonal(features: Tensor) -> Tensor:
    return _kernel(features.square().sum(dim=2), features.shape[2]).sum(dim=1)


def _kernel(product: Tensor, dimension: int) -> Tensor:
    return (product / dimension + 1) ** 3


def _unbiased(sums: Tensor, diagonal: Tensor, weights: Tensor, size: int) -> Tensor:
    own = sums.diagonal()
    total = weights @ sums @ weights - weights.square() @ own + weights @ (own - diagonal)
    pairs = (weights.sum() ** 2 - weights.square().sum()) * size**2 + weights.sum() * size * (size - 1)
    return total / pairs
