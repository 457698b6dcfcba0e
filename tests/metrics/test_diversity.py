import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from sr3.metrics.spread import deviation, feature_spread


def test_the_deviation_is_numpys_over_samples():
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 2, 3, 5, 6))
    expected = (samples / 2).std(axis=0, ddof=1).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(deviation(torch.from_numpy(samples)), expected)


def test_samples_that_are_alike_have_none():
    assert deviation(torch.rand(1, 2, 3, 4, 4).expand(3, -1, -1, -1, -1)).tolist() == pytest.approx([0, 0])
    with pytest.raises(ValueError, match="at least 2"):
        deviation(torch.zeros(1, 1, 3, 4, 4))


def test_the_spread_of_features_is_scipys_mean_distance():
    features = torch.randn(5, 7)
    assert feature_spread(features) == pytest.approx(pdist(features.double().numpy()).mean())
    with pytest.raises(ValueError, match="at least 2"):
        feature_spread(features[:1])
