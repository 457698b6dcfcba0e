import numpy as np
import pytest
import torch
from scipy import linalg

from sr3.metrics.distribution import frechet_distance


def test_the_distance_is_that_of_scipys_matrix_root():
    rng = np.random.default_rng(0)
    some = rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6))
    other = rng.standard_normal((40, 6)) @ rng.standard_normal((6, 6)) + 0.5
    covariances = np.cov(some, rowvar=False), np.cov(other, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    shift = some.mean(axis=0) - other.mean(axis=0)
    expected = shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(torch.from_numpy(some), torch.from_numpy(other)) == pytest.approx(expected, rel=1e-8)


def test_a_set_is_at_no_distance_from_itself_even_when_smaller_than_its_dimension():
    features = torch.randn(5, 30)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-4)


def test_one_feature_is_no_distribution():
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(4, 3))


def test_sets_smaller_than_their_dimension_are_measured_by_the_same_formula():
    rng = np.random.default_rng(0)
    some, other = rng.standard_normal((5, 9)), rng.standard_normal((7, 9)) + 0.5
    covariances = np.cov(some, rowvar=False), np.cov(other, rowvar=False)
    # The trace of a root is the sum of the roots of the eigenvalues.
    root = np.sqrt(linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    shift = some.mean(axis=0) - other.mean(axis=0)
    expected = shift @ shift + np.trace(covariances[0] + covariances[1]) - 2 * root
    assert frechet_distance(torch.from_numpy(some), torch.from_numpy(other)) == pytest.approx(expected, rel=1e-6)


def test_a_set_of_no_full_rank_is_measured_by_the_same_formula():
    rng = np.random.default_rng(0)
    some = np.repeat(rng.standard_normal((4, 6)), 5, axis=0)  # 20 features, of which four differ
    other = rng.standard_normal((30, 6))
    covariances = np.cov(some, rowvar=False), np.cov(other, rowvar=False)
    root = np.sqrt(linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    shift = some.mean(axis=0) - other.mean(axis=0)
    expected = shift @ shift + np.trace(covariances[0] + covariances[1]) - 2 * root
    assert frechet_distance(torch.from_numpy(some), torch.from_numpy(other)) == pytest.approx(expected, rel=1e-6)
