"""Samplers against data N(MEAN, STD^2) in every pixel, whose perfect denoiser has a closed form."""

from functools import partial
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch

from oracles import MEAN, STD, Scripted, exact_flow, oracle, pixels
from sr3.config.sampling import SamplerKind
from sr3.diffusion import samplers
from sr3.diffusion.denoiser import Prediction
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import Step, Traits, ancestral, ddim, dpmpp_2m, last, predictor_corrector
from sr3.diffusion.schedule import cosine_grid, karras_grid, linear_grid
from sr3.errors import ConfigError

SAMPLERS = {
    "ancestral": ancestral,
    "ancestral-posterior": partial(ancestral, variance="posterior"),
    "ddim": ddim,
    "ddim-half": partial(ddim, eta=0.5),
    "ddim-1": partial(ddim, eta=1.0),
}
ONE_STEP = list(SAMPLERS)
"""Samplers whose steps depend on the state alone."""
SAMPLERS |= {"dpmpp": dpmpp_2m, "dpmpp-1": partial(dpmpp_2m, eta=1.0)}


def variance_kept_and_added(gamma, gamma_next, name):
    """Share of the predicted noise that stays and variance of the fresh noise, from the papers' own symbols."""
    alpha = gamma / gamma_next
    beta_tilde = (1 - gamma_next) / (1 - gamma) * (1 - alpha)
    added = {
        "ancestral": 1 - alpha,
        "ancestral-posterior": beta_tilde,
        "ddim": 0,
        "ddim-half": 0.25 * beta_tilde,
        "ddim-1": beta_tilde,
    }[name]
    return alpha, 0 if gamma_next == 1 else added


def mean_of_step(y, gamma, gamma_next, name):
    """Algorithm 2's mean, or DDIM's Eq. 12, as a function of the oracle's eps."""
    eps = np.sqrt(1 - gamma) * (y - np.sqrt(gamma) * MEAN) / (gamma * STD**2 + 1 - gamma)
    alpha, added = variance_kept_and_added(gamma, gamma_next, name)
    if name.startswith("ancestral"):
        return (y - (1 - alpha) / np.sqrt(1 - gamma) * eps) / np.sqrt(alpha)
    y0 = (y - np.sqrt(1 - gamma) * eps) / np.sqrt(gamma)
    return np.sqrt(gamma_next) * y0 + np.sqrt(1 - gamma_next - added) * eps


def mean_and_variance(grid, name):
    """Carry the mean and variance of N(0, 1) along the grid: every step is linear in y."""
    mean, variance = 0.0, 1.0
    for gamma, gamma_next in pairwise(grid.tolist()):
        offset = mean_of_step(0.0, gamma, gamma_next, name)
        slope = mean_of_step(1.0, gamma, gamma_next, name) - offset
        _, added = variance_kept_and_added(gamma, gamma_next, name)
        mean, variance = offset + slope * mean, slope**2 * variance + added
    return mean, variance


@pytest.mark.slow
def test_ddim_converges_to_the_probability_flow_with_order_1():
    y = torch.linspace(-3, 3, 31, dtype=torch.float64).reshape(1, 1, 1, -1)
    expected = exact_flow(y, 4.4e-5)
    errors = [
        (last(ddim(oracle, y, cosine_grid(steps), Scripted())) - expected).abs().max().item()
        for steps in (16, 32, 64, 128)
    ]
    orders = -np.diff(np.log2(errors))
    assert errors[-1] < 0.02
    assert orders[-1] == pytest.approx(1, abs=0.03)
    assert np.all(np.abs(orders - 1) < 0.15)


@pytest.mark.slow
def test_dpmpp_2m_converges_to_the_probability_flow_with_order_2():
    y = torch.linspace(-3, 3, 31, dtype=torch.float64).reshape(1, 1, 1, -1)
    start, end = 0.01, 0.99
    errors = []
    for steps in (16, 32, 64, 128):
        # The last step, to gamma 1, is of first order: it is left out and the state before it compared.
        levels = torch.linspace(np.log(start / (1 - start)), np.log(end / (1 - end)), steps + 1, dtype=torch.float64)
        *_, before, _ = dpmpp_2m(
            oracle, y, torch.cat([levels.sigmoid(), torch.ones(1, dtype=torch.float64)]), Scripted()
        )
        quantile = (y - np.sqrt(start) * MEAN) / np.sqrt(start * STD**2 + 1 - start)
        expected = np.sqrt(end) * MEAN + np.sqrt(end * STD**2 + 1 - end) * quantile
        errors.append((before.y - expected).abs().max().item())
    orders = -np.diff(np.log2(errors))
    assert errors[-1] < 1e-3
    assert orders[-1] == pytest.approx(2, abs=0.1)


@pytest.mark.slow
def test_dpmpp_2m_on_karras_grids_has_order_2_before_the_last_step():
    y = torch.linspace(-3, 3, 31, dtype=torch.float64).reshape(1, 1, 1, -1)
    errors = []
    for steps in (33, 65, 129, 257):
        grid = karras_grid(steps, gamma_first=0.01, gamma_last=0.99)
        *_, before, _ = dpmpp_2m(oracle, y, grid, Scripted())
        quantile = (y - np.sqrt(0.01) * MEAN) / np.sqrt(0.01 * STD**2 + 1 - 0.01)
        expected = np.sqrt(0.99) * MEAN + np.sqrt(0.99 * STD**2 + 1 - 0.99) * quantile
        errors.append((before.y - expected).abs().max().item())
    orders = -np.diff(np.log2(errors))
    assert errors[-1] < 1e-3
    assert orders[-1] == pytest.approx(2, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ancestral", "ancestral-posterior", "ddim-1"])
def test_a_walk_with_noise_comes_near_the_variance_of_the_data_with_order_1(name):
    errors = []
    for steps in (32, 64, 128, 256):
        # The result is linear in the start and in every draw, so the sum of squares is its variance.
        draws = torch.cat([torch.zeros(1, steps), torch.eye(steps)]).double().T
        result = last(SAMPLERS[name](oracle, pixels(*draws[0]), cosine_grid(steps), Scripted(*draws[1:]))).flatten()
        errors.append(abs((result[1:] - result[0]).square().sum().item() - STD**2))
    orders = -np.diff(np.log2(errors))
    assert orders[-1] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("eta", "deviation"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_the_second_step_of_dpmpp_2m_extrapolates_as_by_hand(eta, deviation):
    grid = torch.tensor([0.2, 0.5, 0.8, 1.0], dtype=torch.float64)
    predictions = iter([0.5, 0.8, 0.8])

    def denoise(y, _):
        return Prediction(torch.full_like(y, next(predictions)), torch.full_like(y, torch.nan))

    draws = [[0.0, 0.0], [0.0, 1.0]]
    first, second, last_step = dpmpp_2m(denoise, pixels(1, 1), grid, Scripted(*draws), eta=eta)
    # log-SNR rises by log 4 in both steps, so half the difference of the predictions is added: 0.8 + 0.15.
    variance = eta**2 * (1 - 0.8) / (1 - 0.5) * (1 - 0.5 / 0.8)
    eps = (first.y[0].item() - 0.5**0.5 * 0.95) / 0.5**0.5
    mean = 0.8**0.5 * 0.95 + (1 - 0.8 - variance) ** 0.5 * eps
    assert second.y.flatten().tolist() == pytest.approx([mean, mean + deviation * (0.2 / 0.5 * 0.375) ** 0.5])
    assert last_step.y.flatten().tolist() == pytest.approx([0.8, 0.8])


@pytest.mark.parametrize("name", ONE_STEP)
@pytest.mark.parametrize("grid", [linear_grid(6), cosine_grid(4), cosine_grid(1)], ids=str)
def test_few_steps_give_the_mean_and_variance_of_the_linear_recursion(name, grid):
    # The result is linear in the start and in every draw: one image for each, 1 there and 0 elsewhere.
    draws = torch.eye(len(grid) - 1, dtype=torch.float64)
    draws = torch.cat([torch.zeros(1, len(draws)), draws]).T
    result = last(SAMPLERS[name](oracle, pixels(*draws[0]), grid, Scripted(*draws[1:]))).flatten()
    mean, variance = mean_and_variance(grid, name)
    assert result[0].item() == pytest.approx(mean, rel=1e-9)
    assert (result[1:] - result[0]).square().sum().item() == pytest.approx(variance, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_many_steps_give_the_distribution_of_the_data(name):
    noise = NoiseSource(range(4))
    y = noise.draw((1, 60, 100))
    samples = last(SAMPLERS[name](oracle, y, cosine_grid(300), noise))
    # 24,000 draws: the standard errors are STD / 155 and STD / 219.
    assert samples.mean().item() == pytest.approx(MEAN, abs=4 * STD / 155)
    assert samples.std().item() == pytest.approx(STD, abs=4 * STD / 219)


# One step by hand from gamma 0.25 to 0.64: alpha = 0.390625, 1 - alpha = 0.609375,
# posterior variance = 0.36 x 0.609375 / 0.75 = 0.2925, posterior mean = 0.65 y0 + 0.3 y.
GRID = torch.tensor([0.25, 0.64, 1.0], dtype=torch.float64)
EPS = 0.75**0.5  # of y = 1 at y0 = 0.5


def half(y, gamma):
    """Predict y0 = 0.5 whatever is seen."""
    gamma = gamma.to(y).reshape(-1, 1, 1, 1)
    return Prediction(torch.full_like(y, 0.5), (y - gamma.sqrt() * 0.5) / (1 - gamma).sqrt())


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("ancestral", 0.625, 0.609375**0.5),
        ("ancestral-posterior", 0.625, 0.2925**0.5),
        ("ddim", 0.4 + 0.6 * EPS, 0),
        ("ddim-half", 0.4 + 0.286875**0.5 * EPS, 0.073125**0.5),
        ("ddim-1", 0.4 + 0.0675**0.5 * EPS, 0.2925**0.5),
        ("dpmpp", 0.4 + 0.6 * EPS, 0),
        ("dpmpp-1", 0.4 + 0.0675**0.5 * EPS, 0.2925**0.5),
    ],
)
def test_one_step_is_that_made_by_hand(name, mean, deviation):
    draws = [0.0, 1.0, -2.0]
    step = next(SAMPLERS[name](half, pixels(1, 1, 1), GRID, Scripted(draws)))
    assert step.y.flatten().tolist() == pytest.approx([mean + deviation * draw for draw in draws])
    assert step.y0.flatten().tolist() == [0.5] * 3


def test_one_step_of_predictor_and_corrector_is_that_made_by_hand():
    """A draw with the forward variance, then Langevin: length 2 alpha (0.16 |z| / |score|)^2 with alpha 0.64."""
    drawn, z = 0.5, -2.0
    predicted = 0.625 + 0.609375**0.5 * drawn
    score = -(predicted - 0.4) / 0.36
    length = 2 * 0.64 * (0.16 * abs(z) / abs(score)) ** 2
    step = next(predictor_corrector(half, pixels(1), GRID, Scripted([drawn], [z])))
    assert step.y.item() == pytest.approx(predicted + length * score + (2 * length) ** 0.5 * z)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_the_last_step_adds_no_noise_and_is_the_predicted_picture(name):
    noise = Scripted([0.7, -0.7], [100.0, 100.0])
    steps = list(SAMPLERS[name](oracle, pixels(0.1, -2), GRID, noise))
    torch.testing.assert_close(steps[-1].y, steps[-1].y0)
    assert len(noise.draws) == (2 if name in ("ddim", "dpmpp") else 1)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_each_step_shows_the_prediction_from_the_state_before_it(name):
    grid, start = cosine_grid(5), pixels(0.5, -1)
    seen = []

    def denoise(y, gamma):
        seen.append((y, gamma))
        return oracle(y, gamma)

    steps = list(SAMPLERS[name](denoise, start, grid, NoiseSource([1, 2])))
    assert len(steps) == len(seen) == 5
    states = [start, *(step.y for step in steps)]
    for (y, gamma), level, state, step in zip(seen, grid, states, steps, strict=False):
        assert torch.equal(y, state)
        assert torch.equal(gamma, level.repeat(2))
        assert torch.equal(step.y0, oracle(y, gamma).y0)


def test_algorithm_2_samples_with_the_forward_variance_unless_told():
    first, second = (
        last(sampler(oracle, pixels(1), cosine_grid(4), NoiseSource([3])))
        for sampler in (ancestral, partial(ancestral, variance="forward"))
    )
    assert torch.equal(first, second)


def test_ddim_is_deterministic_unless_told():
    first, second = (last(ddim(oracle, pixels(1), cosine_grid(4), NoiseSource([seed]))) for seed in (3, 4))
    assert torch.equal(first, second)


def test_ddim_at_eta_1_is_ancestral_with_the_posterior_variance():
    first, second = (
        last(SAMPLERS[name](oracle, pixels(1, 2), cosine_grid(7), NoiseSource([3, 4])))
        for name in ("ddim-1", "ancestral-posterior")
    )
    torch.testing.assert_close(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_an_image_alone_is_sampled_as_it_is_in_a_batch(name):
    def sample(seeds):
        noise = NoiseSource(seeds)
        return last(SAMPLERS[name](oracle, noise.draw((3, 4, 5)), cosine_grid(6), noise))

    together = sample([7, 8, 9])
    for k, seed in enumerate((7, 8, 9)):
        assert torch.equal(sample([seed])[0], together[k])


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_samplers_make_no_graph_and_leave_the_mode_of_the_caller(name):
    weight = torch.ones((), requires_grad=True)
    modes = []

    def denoise(y, gamma):
        modes.append(torch.is_grad_enabled())
        y0, eps = oracle(y, gamma)
        return Prediction(y0 * weight, eps * weight)

    for step in SAMPLERS[name](denoise, pixels(1), cosine_grid(3), NoiseSource([0])):
        assert torch.is_grad_enabled()
        assert not step.y.requires_grad
        assert not step.y0.requires_grad
    assert modes == [False] * 3


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_samplers_leave_the_start_alone(name):
    start = pixels(1, 2)
    last(SAMPLERS[name](oracle, start, cosine_grid(3), NoiseSource([0, 1])))
    assert torch.equal(start, pixels(1, 2))


def test_the_last_state_is_the_result():
    assert last(iter([Step(pixels(1), pixels(2)), Step(pixels(3), pixels(4))])).item() == 3


def test_the_table_has_a_sampler_for_every_name_of_the_settings():
    assert sorted(samplers.SAMPLERS) == sorted(get_args(SamplerKind))
    assert all(name == sampler.name for name, sampler in samplers.SAMPLERS.items())


class Counted(NoiseSource):
    """Noise that counts how often it is drawn."""

    drawn = 0

    def like(self, image):
        self.drawn += 1
        return super().like(image)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_sampler_makes_the_calls_and_draws_the_noise_that_its_traits_say(name, steps):
    sampler, calls, noise = samplers.SAMPLERS[name], [], Counted([1])
    if sampler.traits.noise == "eta":
        list(sampler(oracle, pixels(1.0).float(), cosine_grid(5), noise))
        assert noise.drawn == 0
        sampler = sampler.with_eta(1.0)

    def denoise(y, gamma):
        calls.append(gamma)
        return oracle(y, gamma)

    yielded = list(sampler(denoise, pixels(1.0).float(), cosine_grid(steps), noise))
    if name != "regression":
        assert len(yielded) == steps
        assert len(calls) == sampler.traits.calls(steps)
        assert sampler.traits.steps_within(len(calls)) == steps
    assert bool(noise.drawn) == (steps > 1 and sampler.traits.noise != "never")


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_nothing_that_is_known_of_a_sampler_costs_more_than_what_is_assumed_of_an_unknown_one(name):
    traits, unknown = samplers.SAMPLERS[name].traits, samplers.UNKNOWN
    assert traits.extra_states <= unknown.extra_states
    assert traits.calls(3) <= unknown.calls(3)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_a_state_may_have_any_shape(name):
    """Points of two coordinates walk as images of two channels and one pixel do."""
    points = torch.randn(4, 2)

    def of_shape(denoise, y):
        gamma = denoise.to(y).reshape(-1, *[1] * (y.ndim - 1))
        surprise = (y - gamma.sqrt() * MEAN) / (gamma * STD**2 + 1 - gamma)
        return Prediction(MEAN + gamma.sqrt() * STD**2 * surprise, (1 - gamma).sqrt() * surprise)

    found = [
        last(samplers.SAMPLERS[name](lambda y, gamma: of_shape(gamma, y), y, cosine_grid(4), NoiseSource(range(4))))
        for y in (points, points[:, :, None, None])
    ]
    assert torch.equal(found[0], found[1][:, :, 0, 0])


def test_a_plain_function_is_assumed_to_be_costly_and_a_described_one_is_believed():
    def mine(_denoise, y, _grid, _noise):
        yield Step(y, y)

    plain = samplers.as_sampler(mine)
    assert (plain.name, plain.traits) == ("mine", samplers.UNKNOWN)
    traits = Traits(calls_per_step=1, extra_states=0, noise="never")
    known = samplers.described("other", traits)(mine)
    assert samplers.as_sampler(known) is known
    assert (known.name, known.traits) == ("other", traits)
    half = samplers.as_sampler(partial(ddim, eta=0.5))
    assert (half.name, half.traits) == ("ddim", ddim.traits)


def test_a_plain_function_runs_without_gradients():
    modes = []

    def mine(_denoise, y, _grid, _noise):
        modes.append(torch.is_grad_enabled())
        return [Step(y, y)]

    for _ in samplers.as_sampler(mine)(oracle, pixels(1), cosine_grid(1), NoiseSource([0])):
        assert torch.is_grad_enabled()
    assert modes == [False]


def test_eta_is_that_of_the_function():
    draws = [0.0, 1.0]
    direct = list(ddim(oracle, pixels(1, 1), GRID, Scripted(draws, draws), eta=0.5))
    bound = list(samplers.SAMPLERS["ddim"].with_eta(0.5)(oracle, pixels(1, 1), GRID, Scripted(draws, draws)))
    assert all(torch.equal(a.y, b.y) for a, b in zip(direct, bound, strict=True))
    assert "eta" in (ddim.__doc__ or "")
    with pytest.raises(ConfigError, match=r"eta = 0\.5: the sampler heun has no eta"):
        samplers.heun.with_eta(0.5)
    with pytest.raises(ConfigError, match="eta = 2: give a share"):
        ddim.with_eta(2)


def test_what_cannot_be_called_is_no_sampler():
    with pytest.raises(ConfigError, match=r"sampler = 3: give a name, or a function of \(denoise, y, grid, noise\)"):
        samplers.as_sampler(3)
