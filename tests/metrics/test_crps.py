"""The continuous ranked probability score, by its definition and by a closed form."""

import numpy as np
import pytest
import torch
from scipy import stats

from sr3.metrics.energy import crps


def test_the_score_is_the_formula_over_pairs():
    rng = np.random.default_rng(0)
    samples, truth = rng.uniform(-1, 1, (5, 2, 3, 4, 6)), rng.uniform(-1, 1, (2, 3, 4, 6))
    miss = np.abs(samples - truth).mean(axis=0) / 2
    apart = np.mean([np.abs(samples[j] - samples[k]) for j in range(5) for k in range(5) if j != k], axis=0) / 2
    expected = (miss - apart / 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(crps(torch.from_numpy(samples), torch.from_numpy(truth)), expected)


def test_the_score_of_few_normal_samples_is_on_average_that_of_the_normal_distribution():
    generator = torch.Generator().manual_seed(0)
    samples, truth = torch.randn(3, 1, 1, 400, 400, generator=generator), torch.full((1, 1, 400, 400), 0.7)
    # Gneiting and Raftery 2007, section 4.2, halved for the [0, 1] range.
    closed = 0.7 * (2 * stats.norm.cdf(0.7) - 1) + 2 * stats.norm.pdf(0.7) - 1 / np.sqrt(np.pi)
    assert crps(samples, truth).item() == pytest.approx(closed / 2, abs=3e-3)


def test_samples_all_alike_have_their_absolute_error():
    assert crps(torch.full((4, 1, 1, 2, 2), 0.5), torch.zeros(1, 1, 2, 2)).tolist() == pytest.approx([0.25])
    with pytest.raises(ValueError, match="at least 2"):
        crps(torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
