import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sr3.diffusion.denoiser import Denoiser, Prediction
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import ddim, heun, probability_flow

PREDICTIONS = ["eps", "v", "y0"]
TARGETS = [("image", 1.0), ("image", 0.5), ("residual", 1.0), ("residual", 4.0)]
GAMMA = torch.tensor([0.1, 0.8], dtype=torch.float64)


def pictures(count, spread=0.4):
    numbers = np.random.default_rng(0).standard_normal((count, 2, 3, 4, 5))
    return [torch.from_numpy(spread * picture).float() for picture in numbers]


def column(values):
    return np.asarray(values, dtype=np.float64).reshape(-1, 1, 1, 1)


class Oracle(nn.Module):
    """A network that knows the clean state and so answers without error."""

    def __init__(self, state, prediction, dtype=torch.float32):
        super().__init__()
        self.state, self.prediction, self.dtype, self.asked = state, prediction, dtype, []

    def forward(self, x, z, gamma):
        self.asked.append((x, z, gamma))
        signal, noise = np.sqrt(column(gamma)), np.sqrt(1 - column(gamma))
        eps = (z.numpy() - signal * self.state.numpy()) / noise
        answers = {"eps": eps, "v": signal * eps - noise * self.state.numpy(), "y0": self.state.numpy()}
        return torch.from_numpy(np.asarray(answers[self.prediction])).to(self.dtype)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("target", "scale"), TARGETS)
def test_all_meanings_of_the_output_give_one_prediction(prediction, target, scale):
    state, z, x = pictures(3)
    denoiser = Denoiser(Oracle(state, prediction), prediction=prediction, target=target, target_scale=scale)
    eps = (z.numpy() - np.sqrt(column(GAMMA)) * state.numpy()) / np.sqrt(1 - column(GAMMA))
    for y0_hat, eps_hat in (denoiser.predict(z, x, GAMMA), denoiser.bind(x, clip=False)(z, GAMMA)):
        np.testing.assert_allclose(y0_hat, state, atol=1e-5)
        np.testing.assert_allclose(eps_hat, eps, atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_prediction_of_a_network_in_bfloat16_is_float32(prediction):
    state, z, x = pictures(3)
    oracle = Oracle(state, prediction, dtype=torch.bfloat16)
    predicted = Denoiser(oracle, prediction=prediction).predict(z, x, GAMMA)
    assert predicted.y0.dtype == predicted.eps.dtype == torch.float32


def test_the_paper_predicts_the_noise_of_the_image():
    denoiser = Denoiser(nn.Identity())
    assert (denoiser.prediction, denoiser.target, denoiser.target_scale) == ("eps", "image", 1.0)


@pytest.mark.parametrize(
    ("target", "scale", "state"),
    [("image", 1.0, 0.5), ("image", 3.0, 1.5), ("residual", 1.0, 0.75), ("residual", 2.0, 1.5)],
)
def test_a_state_is_the_picture_or_its_scaled_residual(target, scale, state):
    image, x = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), -0.25)
    denoiser = Denoiser(nn.Identity(), target=target, target_scale=scale)
    assert denoiser.encode(image, x).item() == state
    assert denoiser.decode(torch.full((1, 1, 1, 1), state), x).item() == 0.5


@pytest.mark.slow
@given(st.sampled_from(["image", "residual"]), st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_decode_is_the_inverse_of_encode(target, scale, seed):
    image, x = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (2, 1, 3, 2, 2)))
    denoiser = Denoiser(nn.Identity(), target=target, target_scale=scale)
    torch.testing.assert_close(denoiser.decode(denoiser.encode(image, x), x), image)
    torch.testing.assert_close(denoiser.encode(denoiser.decode(image, x), x), image)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("target", "scale"), TARGETS)
def test_clipping_holds_the_picture_and_keeps_equation_4(prediction, target, scale):
    state, z, x = pictures(3, spread=1.5)
    x = x.clamp(-1, 1)
    denoiser = Denoiser(Oracle(state, prediction), prediction=prediction, target=target, target_scale=scale)
    y0_hat, eps_hat = denoiser.bind(x, clip=True)(z, GAMMA)
    picture = state / scale if target == "image" else state / scale + x
    assert picture.abs().max() > 1
    np.testing.assert_allclose(denoiser.decode(y0_hat, x), picture.clamp(-1, 1), atol=2e-5)
    assert denoiser.decode(y0_hat, x).abs().max() <= 1 + 1e-6
    again = np.sqrt(column(GAMMA)) * y0_hat.numpy() + np.sqrt(1 - column(GAMMA)) * eps_hat.numpy()
    np.testing.assert_allclose(again, z, atol=1e-5)


def test_clipping_leaves_pictures_in_range_alone():
    state, z, x = pictures(3, spread=0.1)
    denoiser = Denoiser(Oracle(state, "eps"), target="residual", target_scale=2.0)
    for clipped, free in zip(
        denoiser.bind(x, clip=True)(z, GAMMA), denoiser.bind(x, clip=False)(z, GAMMA), strict=True
    ):
        torch.testing.assert_close(clipped, free, atol=1e-5, rtol=1e-5)


def test_the_network_is_given_the_condition_the_state_and_the_level():
    state, z, x = pictures(3)
    oracle = Oracle(state, "eps")
    Denoiser(oracle).bind(x, clip=True)(z, GAMMA)
    assert len(oracle.asked) == 1
    for given_, expected in zip(oracle.asked[0], (x, z, GAMMA), strict=True):
        assert given_ is expected


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_wanted_answer_is_that_of_the_oracle(prediction):
    state, eps = pictures(2)
    signal, noise = np.sqrt(column(GAMMA)), np.sqrt(1 - column(GAMMA))
    z = torch.from_numpy(signal * state.numpy() + noise * eps.numpy())
    wanted = Denoiser(nn.Identity(), prediction=prediction).target_for(state, eps, GAMMA)
    np.testing.assert_allclose(wanted, Oracle(state, prediction)(z, z, GAMMA), atol=1e-6)


def test_the_noise_of_a_prediction_is_computed_once_and_only_where_it_is_asked_for():
    calls = []

    def eps():
        calls.append(1)
        return torch.ones(1)

    found = Prediction(torch.zeros(1), eps)
    assert float(found.y0) == 0
    assert not calls
    y0, noise = found
    assert (float(y0), float(noise), float(found.eps), len(calls)) == (0, 1, 1, 1)


@pytest.mark.parametrize("kind", [ddim, heun, probability_flow])
def test_the_last_step_computes_no_noise(kind):
    """Its share is 0, and of a large image it would take a whole state of memory."""
    asked = []

    def denoise(y, gamma):
        asked.append(float(gamma[0]))
        return Prediction(y / 2, lambda: pytest.fail("eps was computed"))

    steps = list(kind(denoise, torch.ones(1, 3, 4, 4), torch.tensor([0.5, 1.0], dtype=torch.float64), NoiseSource([0])))
    assert asked == [0.5]
    assert torch.equal(steps[-1].y, torch.full((1, 3, 4, 4), 0.5))
