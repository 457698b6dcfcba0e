import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sr3.diffusion import process

levels = st.floats(1e-5, 1 - 1e-6)
seeds = st.integers(0, 2**32 - 1)


def pictures(seed, count=2, batch=2):
    """Draw float64 images, so that formulas are compared to rounding."""
    numbers = np.random.default_rng(seed).standard_normal((count, batch, 2, 3, 4))
    return [torch.from_numpy(picture) for picture in numbers]


def gammas(*values):
    return torch.tensor(values, dtype=torch.float64)


def column(values):
    return np.asarray(values).reshape(-1, 1, 1, 1)


def close(result, expected, tolerance=1e-9):
    np.testing.assert_allclose(result.numpy(), expected, rtol=tolerance, atol=tolerance)


@st.composite
def steps(draw):
    """A noisier and a cleaner level."""
    noisier, cleaner = sorted((draw(levels), draw(levels)))
    return noisier * (1 - 1e-6), cleaner


def test_diffusion_follows_equation_4():
    y0, eps = pictures(0)
    gamma = [0.3, 0.9]
    expected = np.sqrt(column(gamma)) * y0.numpy() + np.sqrt(1 - column(gamma)) * eps.numpy()
    close(process.diffuse(y0, eps, gammas(*gamma)), expected, 1e-14)


def test_level_1_is_the_picture_and_level_0_the_noise():
    y0, eps = pictures(1)
    result = process.diffuse(y0, eps, gammas(1, 0))
    assert torch.equal(result[0], y0[0])
    assert torch.equal(result[1], eps[1])


def test_every_image_has_its_own_level():
    y0, eps = pictures(2)
    both = process.diffuse(y0, eps, gammas(0.2, 0.7))
    for k, gamma in enumerate((0.2, 0.7)):
        assert torch.equal(both[k : k + 1], process.diffuse(y0[k : k + 1], eps[k : k + 1], gammas(gamma)))


@pytest.mark.parametrize("train", [False, True])
def test_the_diffused_image_may_take_the_place_of_its_noise(train):
    y0, eps = pictures(3)
    with torch.set_grad_enabled(train):
        expected = process.diffuse(y0, eps, gammas(0.2, 0.7))
        result = process.diffuse(y0, eps, gammas(0.2, 0.7), out=eps)
    assert result is eps
    assert torch.equal(eps, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_coefficient_takes_the_type_of_the_image(dtype):
    cast = process.per_image(gammas(0.25, 0.5), torch.zeros(2, 3, 4, 4, dtype=dtype))
    assert cast.dtype == dtype
    assert cast.shape == (2, 1, 1, 1)
    assert cast.flatten().tolist() == [0.25, 0.5]


def test_the_cleanest_level_of_the_paper_survives_float32_pictures():
    one = torch.ones(1, 1, 1, 1)
    gamma = gammas(1 - 1e-6)
    assert process.diffuse(0 * one, one, gamma).item() == pytest.approx(1e-3, rel=1e-6)
    assert process.eps_from_y0(one, 0 * one, gamma).item() == pytest.approx(1e3, rel=1e-6)
    assert process.y0_from_eps(0 * one, one, gamma).item() == pytest.approx(-1e-3, rel=2e-6)
    assert process.eps_from_v(one, 0 * one, gamma).item() == pytest.approx(1e-3, rel=1e-6)
    assert process.y0_from_v(0 * one, one, gamma).item() == pytest.approx(-1e-3, rel=1e-6)
    assert process.v_from_y0_eps(one, 0 * one, gamma).item() == pytest.approx(-1e-3, rel=1e-6)
    assert process.score_from_eps(one, gamma).item() == pytest.approx(-1e3, rel=1e-6)


def test_the_variance_of_the_smallest_step_survives():
    cleaner = gammas(1 - 1e-6)
    noisier = cleaner * (1 - 1e-6)
    assert process.forward_variance(noisier, cleaner).item() == pytest.approx(1e-6, rel=1e-9)
    assert process.posterior_variance(noisier, cleaner).item() == pytest.approx(0.5e-6, rel=1e-5)


@pytest.mark.slow
@given(steps())
def test_two_steps_make_the_variance_of_one(step):
    noisier, cleaner = step
    alpha = process.alpha_between(gammas(noisier), gammas(cleaner)).item()
    added = process.forward_variance(gammas(noisier), gammas(cleaner)).item()
    assert alpha + added == pytest.approx(1, abs=1e-12)
    assert alpha * cleaner == pytest.approx(noisier, rel=1e-12)
    assert alpha * (1 - cleaner) + added == pytest.approx(1 - noisier, rel=1e-12)


@pytest.mark.slow
@given(steps(), seeds)
def test_the_posterior_is_bayes_rule_for_two_gaussians(step, seed):
    noisier, cleaner = step
    y0, y_t = pictures(seed, batch=1)
    alpha = noisier / cleaner
    # Prior N(sqrt(cleaner) y0, 1 - cleaner), likelihood y_t ~ N(sqrt(alpha) y_s, 1 - alpha).
    prior, likelihood = 1 / (1 - cleaner), alpha / (1 - alpha)
    variance = 1 / (prior + likelihood)
    mean = variance * (prior * np.sqrt(cleaner) * y0.numpy() + likelihood * y_t.numpy() / np.sqrt(alpha))
    assert process.posterior_variance(gammas(noisier), gammas(cleaner)).item() == pytest.approx(variance, rel=1e-6)
    close(process.posterior_mean(y0, y_t, gammas(noisier), gammas(cleaner)), mean, 1e-6)


@pytest.mark.slow
@given(steps(), seeds)
def test_the_posterior_mean_is_that_of_algorithm_2(step, seed):
    noisier, cleaner = step
    y_t, eps = pictures(seed, batch=1)
    alpha = noisier / cleaner
    algorithm_2 = (y_t - (1 - alpha) / np.sqrt(1 - noisier) * eps) / np.sqrt(alpha)
    y0 = process.y0_from_eps(y_t, eps, gammas(noisier))
    close(process.posterior_mean(y0, y_t, gammas(noisier), gammas(cleaner)), algorithm_2.numpy(), 1e-6)


@pytest.mark.slow
@given(levels, seeds)
def test_at_the_last_step_the_posterior_is_the_picture(gamma, seed):
    y0, y_t = pictures(seed)
    gamma_t, gamma_s = gammas(gamma, gamma / 2), gammas(1, 1)
    close(process.posterior_mean(y0, y_t, gamma_t, gamma_s), y0.numpy())
    assert process.posterior_variance(gamma_t, gamma_s).tolist() == [0, 0]


@pytest.mark.slow
@given(levels, levels, seeds)
def test_eps_and_y0_are_two_readings_of_one_state(first, second, seed):
    y0, eps = pictures(seed)
    gamma = gammas(first, second)
    y_t = process.diffuse(y0, eps, gamma)
    close(process.y0_from_eps(y_t, eps, gamma), y0.numpy())
    close(process.eps_from_y0(y_t, y0, gamma), eps.numpy())


@pytest.mark.slow
@given(levels, levels, seeds)
def test_v_is_the_state_a_quarter_turn_on(first, second, seed):
    y0, eps = pictures(seed)
    gamma = gammas(first, second)
    angle = np.arccos(np.sqrt(column([first, second])))
    v = process.v_from_y0_eps(y0, eps, gamma)
    close(v, np.cos(angle) * eps.numpy() - np.sin(angle) * y0.numpy())
    y_t = process.diffuse(y0, eps, gamma)
    close(process.y0_from_v(y_t, v, gamma), y0.numpy())
    close(process.eps_from_v(y_t, v, gamma), eps.numpy())


def test_v_is_defined_at_both_ends():
    y0, eps = pictures(3)
    gamma = gammas(0, 1)
    y_t, v = process.diffuse(y0, eps, gamma), process.v_from_y0_eps(y0, eps, gamma)
    close(process.y0_from_v(y_t, v, gamma), y0.numpy())
    close(process.eps_from_v(y_t, v, gamma), eps.numpy())


def test_the_score_is_the_gradient_of_the_log_density():
    y0, eps = pictures(4)
    gamma = gammas(0.2, 0.95)
    y_t = process.diffuse(y0, eps, gamma).requires_grad_()
    scale = (1 - gamma).sqrt().reshape(-1, 1, 1, 1)
    density = torch.distributions.Normal(gamma.sqrt().reshape(-1, 1, 1, 1) * y0, scale)
    density.log_prob(y_t).sum().backward()
    close(process.score_from_eps(eps, gamma), y_t.grad.numpy())


@pytest.mark.slow
@given(levels)
def test_sigma_is_the_noise_on_a_state_scaled_to_signal_1(gamma):
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    scaled = process.diffuse(0 * one, one, gammas(gamma)).item() / np.sqrt(gamma)
    assert process.sigma(gammas(gamma)).item() == pytest.approx(scaled, rel=1e-9)


@pytest.mark.slow
@given(levels)
def test_log_snr_is_minus_twice_log_sigma(gamma):
    assert process.log_snr(gammas(gamma)).item() == pytest.approx(np.log(gamma) - np.log1p(-gamma), abs=1e-9)
    assert process.log_snr(gammas(gamma)).item() == pytest.approx(
        -2 * np.log(process.sigma(gammas(gamma)).item()), abs=1e-9
    )
