"""What samples say together, against numpy."""

import numpy as np
import pytest
import torch

from sr3.upscaling.ensemble import Ensemble


def ensemble_of(samples):
    ensemble = Ensemble()
    for sample in samples:
        ensemble.add(sample)
    return ensemble


def test_mean_and_deviation_are_those_of_numpy():
    samples = torch.rand(5, 3, 7, 9) * 2 - 1
    ensemble = ensemble_of(samples)
    np.testing.assert_allclose(ensemble.mean(), samples.numpy().mean(0), atol=1e-6)
    variance = samples.numpy().astype(np.float64).var(0, ddof=1).mean(0)
    np.testing.assert_allclose(ensemble.deviation(), np.sqrt(variance) * 127.5, rtol=1e-4)


def test_equal_samples_have_no_deviation():
    assert float(ensemble_of([torch.full((1, 4, 4), 0.3)] * 4).deviation().max()) == 0


def test_the_two_that_differ_most_are_found_by_their_mean_square_difference():
    levels = (0.0, 0.3, -0.5, 0.1, 0.45)
    ensemble = ensemble_of([torch.full((3, 4, 4), level) for level in levels])
    assert ensemble.most_different() == (2, 4)
    # One pixel that differs much counts for less than many that differ a little, of equal sum of squares or more.
    flat, spike, shifted = torch.zeros(1, 10, 10), torch.zeros(1, 10, 10), torch.full((1, 10, 10), 0.12)
    spike[0, 0, 0] = 1.0
    assert ensemble_of([flat, spike, shifted]).most_different() == (1, 2)


def test_one_sample_differs_from_none():
    with pytest.raises(ValueError, match="differs from none"):
        ensemble_of([torch.zeros(1, 2, 2)]).most_different()
