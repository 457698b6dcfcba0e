"""Ranks of truths among samples, and spread beside error."""

import numpy as np
import pytest
import torch

from sr3.metrics.spread import nominal_coverage, rank_coverage, rank_histogram, spread_to_error


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_ranks_without_ties_are_those_of_sorting():
    samples, truth = drawn(4, 2, 3, 5, 6), drawn(2, 3, 5, 6, seed=1)
    for k in range(2):
        values = samples[:, k].reshape(4, -1).numpy()
        true = truth[k].flatten().numpy()
        places = [np.searchsorted(np.sort(column), y) for column, y in zip(values.T, true, strict=True)]
        expected = np.bincount(places, minlength=5) / len(places)
        np.testing.assert_allclose(rank_histogram(samples, truth)[k], expected)


@pytest.mark.slow
def test_ranks_with_ties_are_those_of_breaking_them_at_random():
    rng = np.random.default_rng(0)
    samples, truth = rng.integers(0, 4, (3, 1, 1, 6, 6)), rng.integers(0, 4, (1, 1, 6, 6))
    ours = rank_histogram(torch.from_numpy(samples).float(), torch.from_numpy(truth).float())[0]
    counts = np.zeros(4)
    for _ in range(3000):
        broken = samples + rng.uniform(-0.1, 0.1, samples.shape), truth + rng.uniform(-0.1, 0.1, truth.shape)
        counts += np.bincount((broken[0] < broken[1]).sum(axis=0).ravel(), minlength=4)
    np.testing.assert_allclose(ours, counts / counts.sum(), atol=0.01)


def test_truths_drawn_like_the_samples_have_even_ranks_and_the_nominal_coverage():
    samples, truth = drawn(4, 1, 1, 200, 200), drawn(1, 1, 200, 200, seed=1)
    assert rank_histogram(samples, truth)[0].tolist() == pytest.approx([0.2] * 5, abs=0.01)
    assert rank_coverage(samples, truth).item() == pytest.approx(nominal_coverage(4), abs=0.01)
    assert rank_coverage(0.1 * samples, truth).item() < 0.2
    assert nominal_coverage(4) == 0.6


@pytest.mark.slow
def test_the_spread_equals_the_error_only_of_samples_drawn_as_the_truth():
    samples, truth = drawn(3, 2, 1, 200, 200), drawn(2, 1, 200, 200, seed=1)
    assert spread_to_error(samples, truth).tolist() == pytest.approx([1, 1], abs=0.01)
    # Of samples half as wide: variance (1 + 1/3) / 4, error 1 + 1 / 12.
    assert spread_to_error(samples / 2, truth).tolist() == pytest.approx([(1 / 3 / (1 + 1 / 12)) ** 0.5] * 2, abs=0.01)


def test_one_sample_has_no_spread():
    with pytest.raises(ValueError, match="at least 2"):
        spread_to_error(torch.zeros(1, 1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
