"""Precision and recall, beside a search by scipy's tree."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from sr3.metrics.distribution import inside_manifold


def test_members_are_those_that_a_tree_finds():
    rng = np.random.default_rng(0)
    some, manifold = rng.standard_normal((60, 3)) * 1.5, rng.standard_normal((50, 3))
    tree = cKDTree(manifold)
    radii = tree.query(manifold, k=4)[0][:, -1]
    expected = [bool((np.linalg.norm(manifold - point, axis=1) <= radii).any()) for point in some]
    found = inside_manifold(torch.from_numpy(some), torch.from_numpy(manifold))
    assert 5 < sum(expected) < 55
    assert found.tolist() == expected


def test_a_set_lies_in_its_own_manifold_and_far_away_nothing_does():
    features = torch.randn(20, 5)
    assert inside_manifold(features, features).all()
    assert not inside_manifold(features + 100, features).any()


def test_a_manifold_needs_more_features_than_neighbours():
    with pytest.raises(ValueError, match="more features than 3"):
        inside_manifold(torch.zeros(2, 2), torch.zeros(3, 2))
