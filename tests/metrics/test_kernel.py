"""The kernel distance beside torchmetrics and beside sums written out."""

import pytest
import torch

from sr3.metrics import distribution as module
from sr3.metrics.distribution import kernel_distance, kernel_distances


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.slow
def test_the_distance_is_that_of_torchmetrics():
    from torchmetrics.image.kid import poly_mmd  # slow to import

    some, other = features(20, 7), features(20, 7, seed=1) + 0.3
    assert kernel_distance(some, other) == pytest.approx(float(poly_mmd(some, other)), rel=1e-9)


def test_sets_of_different_sizes_are_compared_by_the_formula():
    some, other = features(6, 4), features(9, 4, seed=1)

    def kernel(a, b):
        return (float(a @ b) / 4 + 1) ** 3

    def inside(those):
        pairs = [kernel(a, b) for j, a in enumerate(those) for k, b in enumerate(those) if j != k]
        return sum(pairs) / len(pairs)

    across = sum(kernel(a, b) for a in some for b in other) / 54
    assert kernel_distance(some, other) == pytest.approx(inside(some) + inside(other) - 2 * across)


def test_groups_taken_once_are_the_plain_distance():
    some, other = features(5, 3, 6), features(4, 3, 6, seed=1)
    ours = kernel_distances(some, other, torch.ones(1, 5), torch.ones(1, 4))
    assert float(ours) == pytest.approx(kernel_distance(some.flatten(0, 1), other.flatten(0, 1)))


def test_copies_of_a_group_are_not_compared_with_each_other():
    some, other = features(3, 2, 5), features(3, 2, 5, seed=1)
    places, weights = [0, 0, 1], torch.tensor([2.0, 1.0, 0.0]).double()

    def kernel(a, b):
        return (float(a @ b) / 5 + 1) ** 3

    def inside(groups):
        labelled = [(copy, place, row) for copy, place in enumerate(places) for row in groups[place]]
        pairs = [
            kernel(a, b)
            for j, (copy, place, a) in enumerate(labelled)
            for k, (another, elsewhere, b) in enumerate(labelled)
            if j != k and (copy == another or place != elsewhere)
        ]
        return sum(pairs) / len(pairs)

    rows = [(a, b) for p in places for q in places for a in some[p] for b in other[q]]
    expected = inside(some) + inside(other) - 2 * sum(kernel(a, b) for a, b in rows) / len(rows)
    assert float(kernel_distances(some, other, weights[None], weights[None])) == pytest.approx(expected)


def test_all_weights_and_any_blocks_give_what_each_gives_alone(monkeypatch):
    some, other = features(9, 2, 5), features(7, 2, 5, seed=1)
    weights, other_weights = (torch.randint(0, 4, (6, count)).double() for count in (9, 7))
    alone = [
        kernel_distances(some, other, *pair) for pair in zip(weights.split(1), other_weights.split(1), strict=True)
    ]
    for pairs in (1, 100):
        monkeypatch.setattr(module, "_PAIRS_AT_ONCE", pairs)
        torch.testing.assert_close(kernel_distances(some, other, weights, other_weights), torch.cat(alone))


@pytest.mark.slow
def test_the_kernel_of_all_pairs_is_never_held(monkeypatch):
    largest = []

    def kernel(product, dimension):
        largest.append(product.numel())
        return (product / dimension + 1) ** 3

    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 1000)
    monkeypatch.setattr(module, "_kernel", kernel)
    kernel_distance(features(200, 3), features(200, 3, seed=1))
    assert max(largest) == 1000


def test_one_feature_taken_many_times_has_no_distance():
    weights = torch.tensor([[4.0, 0, 0, 0], [3, 1, 0, 0]])
    found = kernel_distances(features(4, 1, 7), features(4, 1, 7, seed=1), weights, weights)
    assert found.isnan().tolist() == [True, False]


def test_one_feature_is_no_set():
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(4, 3))
