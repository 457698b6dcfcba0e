import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sr3.diffusion.schedule import linear_gammas
from sr3.networks.embedding import LEVEL_FACTOR, NoiseLevelEmbedding, sinusoids


def gammas(*values):
    return torch.tensor(values, dtype=torch.float64)


def wavegrad(gamma, width):
    """WaveGrad's formula in float64, one frequency at a time."""
    half = width // 2
    phases = [5000 * np.sqrt(gamma) * 10 ** (-4 * i / half) for i in range(half)]
    return [np.sin(phase) for phase in phases] + [np.cos(phase) for phase in phases]


def silu(values):
    return values / (1 + np.exp(-values))


@pytest.mark.slow
@given(st.lists(st.floats(0, 1), min_size=1, max_size=3), st.integers(1, 64))
def test_sinusoids_follow_wavegrad(levels, half):
    result = sinusoids(gammas(*levels), 2 * half)
    assert result.dtype == torch.float32
    assert result.shape == (len(levels), 2 * half)
    np.testing.assert_allclose(result, [wavegrad(level, 2 * half) for level in levels], atol=1e-6)


def test_the_factor_is_that_of_wavegrad():
    assert LEVEL_FACTOR == 5000


def test_levels_near_1_can_be_told_apart():
    clean, nearly = sinusoids(gammas(1.0, 0.99), 64)
    # Vectors of 32 unit circles: without the factor the distance is 0.008.
    assert (clean - nearly).norm() > 3


def test_the_first_levels_of_the_training_schedule_can_be_told_apart():
    codes = sinusoids(linear_gammas(2000, 1e-6, 1e-2)[:100], 64)
    assert (codes[:-1] - codes[1:]).norm(dim=1).min() > 0.005
    assert (codes[0] - codes[99]).norm() > 0.5


def test_the_embedding_is_a_perceptron_of_the_sinusoids():
    torch.manual_seed(1)
    embedding = NoiseLevelEmbedding(8, 12)
    first, second = (layer for layer in embedding.layers if isinstance(layer, torch.nn.Linear))
    gamma = gammas(0.5, 0.9)
    hidden = np.array([wavegrad(level, 8) for level in gamma.tolist()])
    for layer in (first, second):
        hidden = silu(hidden @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
    result = embedding(gamma).detach()
    assert result.shape == (2, 12)
    np.testing.assert_allclose(result, hidden, atol=1e-5)


def test_the_embedding_takes_the_type_of_its_weights():
    assert NoiseLevelEmbedding(8, 12).to(torch.bfloat16)(gammas(0.5)).dtype == torch.bfloat16
