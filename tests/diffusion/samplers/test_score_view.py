"""Heun, the probability-flow ODE and the predictor-corrector, against data with a closed-form denoiser."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from oracles import MEAN, STD, Scripted, exact_flow, oracle, pixels
from sr3.diffusion.denoiser import Prediction
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import heun, last, one_call, predictor_corrector, probability_flow
from sr3.diffusion.schedule import cosine_grid, karras_grid

START, END = 0.01, 0.99


def error_before_the_last_step(sampler, grid):
    """The last step, to gamma 1, is of first order: the state before it is compared with the exact flow."""
    y = torch.linspace(-3, 3, 31, dtype=torch.float64).reshape(1, 1, 1, -1)
    *_, before, _ = sampler(oracle, y, grid, Scripted())
    start, end = float(grid[0]), float(grid[-2])
    quantile = (y - np.sqrt(start) * MEAN) / np.sqrt(start * STD**2 + 1 - start)
    expected = np.sqrt(end) * MEAN + np.sqrt(end * STD**2 + 1 - end) * quantile
    return (before.y - expected).abs().max().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "order", "steps"), [(heun, 2, (16, 32, 64, 128)), (probability_flow, 4, (4, 8, 16, 32))]
)
def test_the_order_of_convergence_is_the_methods(sampler, order, steps):
    errors = []
    for count in steps:
        levels = (
            torch.sin(torch.linspace(np.arcsin(START**0.5), np.arcsin(END**0.5), count + 1, dtype=torch.float64)) ** 2
        )
        errors.append(error_before_the_last_step(sampler, torch.cat([levels, torch.ones(1, dtype=torch.float64)])))
    orders = -np.diff(np.log2(errors))
    assert errors[-1] < 1e-3
    assert orders[-1] == pytest.approx(order, abs=0.2)


@pytest.mark.slow
def test_heun_on_karras_grids_comes_near_the_flow_with_order_2():
    y = torch.linspace(-3, 3, 31, dtype=torch.float64).reshape(1, 1, 1, -1)
    expected = exact_flow(y, 4.4e-5)
    errors = [
        (last(heun(oracle, y, karras_grid(steps), Scripted())) - expected).abs().max().item() for steps in (18, 36, 72)
    ]
    assert errors[-1] < 0.01
    assert -np.diff(np.log2(errors))[-1] == pytest.approx(2, abs=0.2)


def test_one_step_of_heun_is_that_made_by_hand():
    # In sigma: u = y / sqrt(gamma), u' = u + (s' - s)(eps(s) + eps(s')) / 2, with eps = -2 and then 3.
    grid = torch.tensor([0.2, 0.8, 1.0], dtype=torch.float64)
    eps, seen = iter([-2.0, 3.0, 0.0]), []

    def denoise(y, gamma):
        seen.append((y.item(), gamma.item()))
        return Prediction(torch.full_like(y, 0.25), torch.full_like(y, next(eps)))

    first, second = heun(denoise, pixels(1), grid, Scripted())
    u, width = 1 / 0.2**0.5, 0.5 - 2.0
    assert seen[1] == pytest.approx((0.8**0.5 * (u + width * -2), 0.8))
    assert first.y.item() == pytest.approx(0.8**0.5 * (u + width * (-2 + 3) / 2))
    assert second.y.item() == 0.25


@pytest.mark.parametrize(("sampler", "calls"), [(heun, 2), (probability_flow, 4)])
def test_calls_a_step_are_as_said_and_one_for_the_last(sampler, calls):
    seen = []

    def denoise(y, gamma):
        seen.append(gamma.item())
        return oracle(y, gamma)

    steps = list(sampler(denoise, pixels(0.3), cosine_grid(5), Scripted()))
    assert len(steps) == 5
    assert len(seen) == 4 * calls + 1
    assert max(seen) < 1


def test_the_corrector_moves_by_the_step_size_of_algorithm_5():
    # One prediction to gamma 0.64, then one correction: norms over an image's pixels, here 2 of them.
    grid = torch.tensor([0.25, 0.64, 1.0], dtype=torch.float64)
    y = torch.tensor([1.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    eps = torch.tensor([0.3, -0.4], dtype=torch.float64).reshape(1, 1, 1, 2)
    z = torch.tensor([3.0, 4.0], dtype=torch.float64).reshape(1, 1, 1, 2)

    class Draws(Scripted):
        def like(self, _):
            return self.draws.pop(0)

    step = next(predictor_corrector(lambda y, _: Prediction(0 * y + 0.5, eps), y, grid, Draws(0 * z, z), snr=0.2))
    alpha, score = 0.64 / 1.0, -eps / 0.36**0.5  # alpha is that of the level reached
    length = 2 * alpha * (0.2 * 5 / (0.5 / 0.6)) ** 2
    expected = 0.65 * 0.5 + 0.3 * 1 + length * score + (2 * length) ** 0.5 * z
    torch.testing.assert_close(step.y, expected)


@pytest.mark.slow
def test_the_predictor_corrector_gives_the_distribution_of_the_data():
    noise = NoiseSource(range(4))
    y = noise.draw((1, 60, 100))
    samples = last(predictor_corrector(oracle, y, cosine_grid(200), noise, snr=0.1))
    assert samples.mean().item() == pytest.approx(MEAN, abs=4 * STD / 155)
    assert samples.std().item() == pytest.approx(STD, abs=0.015)


@pytest.mark.slow
def test_correcting_mends_the_spread_of_a_coarse_walk():
    # The forward variance adds too much in few steps. Corrections bring the state back to its level's distribution.
    def spread(corrections):
        noise = NoiseSource(range(4))
        y = noise.draw((1, 60, 100))
        steps = list(predictor_corrector(oracle, y, cosine_grid(8), noise, snr=0.16, corrections=corrections))
        gamma = float(cosine_grid(8)[-2])
        return abs(steps[-2].y.std().item() - (gamma * STD**2 + 1 - gamma) ** 0.5)

    assert spread(20) < 0.5 * spread(0)


@pytest.mark.parametrize("corrections", [0, 2])
def test_calls_of_the_predictor_corrector(corrections):
    seen = []

    def denoise(y, gamma):
        seen.append(gamma.item())
        return oracle(y, gamma)

    list(predictor_corrector(denoise, pixels(0.3), cosine_grid(5), NoiseSource([0]), corrections=corrections))
    assert len(seen) == 5 + 4 * corrections


@pytest.mark.parametrize(("first", "second"), list(pairwise([3, 4, 5])))
def test_an_image_alone_is_corrected_as_in_a_batch(first, second):
    def sample(seeds):
        noise = NoiseSource(seeds)
        return last(predictor_corrector(oracle, noise.draw((3, 4, 5)), cosine_grid(6), noise))

    together = sample([first, second])
    assert torch.equal(sample([second])[0], together[1])


@pytest.mark.slow
def test_the_corrector_takes_the_ratio_of_the_sources_unless_told():
    def sample(**options):
        noise = NoiseSource([3])
        return last(predictor_corrector(oracle, noise.draw((1, 4, 4)), cosine_grid(5), noise, **options))

    assert torch.equal(sample(), sample(snr=0.16, corrections=1))
    assert not torch.equal(sample(), sample(snr=0.3))


def test_a_state_without_a_score_is_left_in_its_place():
    silent = last(
        predictor_corrector(lambda y, _: Prediction(0 * y, 0 * y), pixels(0.0), cosine_grid(4), NoiseSource([0]))
    )
    assert bool(silent.isfinite().all())


def test_a_regression_is_asked_once_at_level_0_about_no_picture():
    seen = []

    def denoise(y, gamma):
        seen.append((y, gamma))
        return Prediction(y + 0.5, y)

    [step] = one_call(denoise, pixels(3.0, -2.0), cosine_grid(1), Scripted())
    assert step.y.flatten().tolist() == step.y0.flatten().tolist() == [0.5, 0.5]
    [(y, gamma)] = seen
    assert y.flatten().tolist() == [0.0, 0.0]
    assert gamma.tolist() == [0.0, 0.0]
