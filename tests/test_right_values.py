"""Right values where a formula could be broken unseen: each expected number is made by hand or by another library."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from oracles import exact_flow, oracle
from pictures import Pictures, smooth
from sr3.config import OptimizerConfig, apply_settings
from sr3.diffusion.denoiser import Denoiser, Prediction
from sr3.diffusion.distillation import walk
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.objective import supervised_loss
from sr3.diffusion.process import eps_from_y0
from sr3.diffusion.samplers import dpmpp_2m, probability_flow
from sr3.diffusion.samplers import last as last_state
from sr3.diffusion.schedule import cosine_grid
from sr3.evaluation.intervals import around
from sr3.images.resize import downsample, upsample
from sr3.metrics.spread import rank_coverage
from sr3.presets import preset
from sr3.sampling.consistency import match_low_frequencies
from sr3.training.ema import ema_decay_at
from sr3.training.loop import train
from sr3.training.optimizer import learning_rate_at
from sr3.training.run_dir import open_run
from sr3.training.step import draw_for


def log_snr(gamma):
    return math.log(gamma / (1 - gamma))


def scripted(values):
    """A denoiser that predicts the values one after the other, whatever it is shown."""
    left = iter(values)

    def denoise(z, gamma):
        y0 = torch.full_like(z, next(left))
        return Prediction(y0, eps_from_y0(z, y0, gamma))

    return denoise


@pytest.mark.parametrize("grid", [(0.004, 0.05, 0.9, 1.0), (0.008, 0.6, 0.7, 1.0)])
def test_dpmpp_2m_with_unequal_steps_weighs_the_last_two_predictions_by_the_ratio_of_their_widths(grid):
    """Algorithm 2 of arXiv:2211.01095: D = (1 + 1 / 2r) x_i - 1 / 2r x_{i-1}, r = h_{i-1} / h_i in half log-SNR."""
    start, predicted = 0.7, (1.0, 3.0, -2.0)
    r = (log_snr(grid[1]) - log_snr(grid[0])) / (log_snr(grid[2]) - log_snr(grid[1]))
    assert abs(r - 1) > 0.3
    y = start
    for k, (gamma, gamma_next) in enumerate(itertools.pairwise(grid)):
        ahead = predicted[k] if k != 1 else (1 + 1 / (2 * r)) * predicted[1] - 1 / (2 * r) * predicted[0]
        eps = (y - math.sqrt(gamma) * ahead) / math.sqrt(1 - gamma)
        y = math.sqrt(gamma_next) * ahead + math.sqrt(1 - gamma_next) * eps
        if k == 1:
            second = y
    levels = torch.tensor(grid, dtype=torch.float64)
    begin = torch.full((1, 1, 2, 2), start, dtype=torch.float64)
    steps = list(dpmpp_2m(scripted(predicted), begin, levels, NoiseSource([0])))
    assert float(steps[1].y.mean()) == pytest.approx(second, rel=1e-9)
    assert float(steps[2].y.mean()) == pytest.approx(predicted[2], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("last_level", "order"), [(None, 2), (1 - 1e-9, 4)])
def test_the_flow_by_runge_kutta_has_order_2_at_the_picture_and_4_where_the_last_step_does_nothing(last_level, order):
    y = torch.tensor([0.9, -1.3], dtype=torch.float64).reshape(2, 1, 1, 1)
    errors = []
    for steps in (8, 16, 32):
        grid = cosine_grid(steps)
        if last_level is not None:
            first, last = (math.asin(math.sqrt(level)) for level in (float(grid[0]), last_level))
            angles = torch.linspace(first, last, steps + 1, dtype=torch.float64)
            grid = torch.cat([torch.sin(angles) ** 2, torch.ones(1, dtype=torch.float64)])
        found = last_state(probability_flow(oracle, y, grid, NoiseSource([])))
        errors.append(float((found - exact_flow(y, float(grid[0]))).abs().max()))
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.25)


def test_the_teachers_walk_does_not_extrapolate_in_the_step_that_ends_in_the_picture():
    levels = torch.tensor([[0.01], [0.3], [0.8], [1.0]], dtype=torch.float64)
    predicted, y = (1.0, 2.0, 5.0), 0.4
    for k, (gamma, gamma_next) in enumerate(itertools.pairwise(levels[:, 0].tolist())):
        ahead = predicted[k] + (0.5 * (predicted[k] - predicted[k - 1]) if 0 < k < 2 else 0.0)
        eps = (y - math.sqrt(gamma) * ahead) / math.sqrt(1 - gamma)
        y = math.sqrt(gamma_next) * ahead + math.sqrt(1 - gamma_next) * eps
    found = walk(scripted(predicted), torch.full((1, 1, 2, 2), 0.4, dtype=torch.float64), levels)
    assert float(found.mean()) == pytest.approx(y, rel=1e-9)
    assert y == pytest.approx(5.0)  # and not 6.5


def test_back_projection_is_held_in_the_range_after_every_round():
    """Rounds that are only held at the end give other images where a pixel leaves the range on the way."""
    generator = torch.Generator().manual_seed(0)
    image = (torch.rand(1, 1, 16, 16, generator=generator) * 4 - 2).clamp(-1, 1)
    low_res = torch.rand(1, 1, 4, 4, generator=generator) * 2 - 1
    held = free = image
    for _ in range(3):
        held = (held + upsample(low_res - downsample(held, 4), 4)).clamp(-1, 1)
        free = free + upsample(low_res - downsample(free, 4), 4)
    found = match_low_frequencies(image, low_res, rounds=3)
    torch.testing.assert_close(found, held)
    assert float((found - free.clamp(-1, 1)).abs().max()) > 0.01


def test_drcns_loss_is_the_share_of_the_recursions_and_the_rest_of_the_last_answer():
    class Every(nn.Module):
        """Answers 1 in the end, and 3 and 5 on the way."""

        def forward(self, x, z, gamma, *, every=False):
            del z, gamma
            return torch.stack([torch.full_like(x, value) for value in (1.0, 3.0, 5.0)]) if every else x

    y0 = torch.zeros(2, 3, 4, 4)
    denoiser = Denoiser(Every(), prediction="y0")
    loss = supervised_loss(denoiser, y0, torch.zeros_like(y0), kind="l2", share=0.25)
    expected = 0.25 * (9 + 25) / 2 + 0.75 * 1
    np.testing.assert_allclose(loss, [expected, expected])


def test_the_ramp_of_the_average_is_that_of_the_step_it_follows():
    assert ema_decay_at(0, 0.999) == pytest.approx(1 / 10)
    assert ema_decay_at(8, 0.999) == pytest.approx(9 / 18)
    assert ema_decay_at(10**6, 0.999) == 0.999


@pytest.mark.training
def test_the_first_update_of_an_average_uses_the_ramp_of_step_0(tmp_path):
    """After one step the average is 0.1 of the first weights and 0.9 of the new ones."""
    settings = ["training.steps=1", "training.batch=2", "training.validation_images=2", "optimizer.warmup=1"]
    config = apply_settings(preset("tiny-x4"), [*settings, "optimizer.learning_rate=0.1"])
    source = Pictures(*(smooth(64, 64, seed=k) for k in range(4)))
    run = open_run(tmp_path / "run", config)
    list(train(config, source, run, device=torch.device("cpu")))
    from safetensors.torch import load_file

    from sr3.build import build_denoiser
    from sr3.training.state import last_whole

    state = load_file(last_whole(run.checkpoints))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        first = build_denoiser(config, image_channels=3).network.state_dict()
    name = "head.weight"
    torch.testing.assert_close(state[f"ema.{name}"], 0.1 * first[name] + 0.9 * state[f"network.{name}"])


def test_where_warm_up_and_cool_down_overlap_the_smaller_rate_counts():
    config = OptimizerConfig(learning_rate=1.0, warmup=8, cooldown=8)
    rates = [learning_rate_at(step, config, steps=10) for step in range(10)]
    assert rates == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_there_is_a_cool_down_after_a_warm_up():
    config = OptimizerConfig(learning_rate=1.0, warmup=2, cooldown=4)
    assert learning_rate_at(4, config, steps=10) == 1.0
    assert learning_rate_at(9, config, steps=10) == pytest.approx(0.25)


def test_the_truth_is_outside_on_either_side_of_the_samples():
    """Three values: below both samples, between, above both."""
    samples = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).reshape(2, 1, 1, 1, 3)
    truth = torch.tensor([-1.0, 0.5, 2.0]).reshape(1, 1, 1, 3)
    assert float(rank_coverage(samples, truth)) == pytest.approx(1 / 3)
    assert float(rank_coverage(samples, truth.clamp(max=0.5))) == pytest.approx(2 / 3)
    assert float(rank_coverage(samples, truth.clamp(min=0.5))) == pytest.approx(2 / 3)


def test_the_interval_of_a_set_is_the_unbiased_deviation_of_its_draws():
    drawn = torch.tensor([1.0, 2.0, 4.0, 9.0], dtype=torch.float64)
    figure = around(3.0, drawn, count=5)
    reach = 1.959963984540054 * np.std(drawn.numpy(), ddof=1)
    assert (figure.low, figure.high) == pytest.approx((3 - reach, 3 + reach))


class Scaler:
    """A loss scaler as torch has them, by a factor of 1000."""

    def scale(self, loss):
        return loss * 1000

    def unscale_(self, optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad /= 1000

    def step(self, optimizer):
        optimizer.step()

    def update(self):
        pass


@pytest.mark.training
def test_gradients_are_clipped_after_unscaling_and_are_means_over_the_batch(tmp_path, monkeypatch):
    """The same norm before clipping, whether scaled or cut into parts, and the limit after it."""
    from sr3.training import step as module
    from sr3.training.session import Session

    norms: list[float] = []
    clipping, taken = torch.nn.utils.clip_grad_norm_, Session.step

    def norm(parameters):
        return math.sqrt(sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None))

    def watched(parameters, most):
        parameters = list(parameters)
        norms.append(norm(parameters))
        clipping(parameters, most)
        assert norm(parameters) == pytest.approx(most, rel=1e-3)

    def with_scaler(session, batch, **more):
        object.__setattr__(session.learner, "scaler", Scaler())
        return taken(session, batch, **more)

    monkeypatch.setattr(module.torch.nn.utils, "clip_grad_norm_", watched)
    source = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
    settings = ["training.steps=1", "training.batch=4", "training.validation_images=2", "optimizer.clip=1e-3"]
    for scaled, accumulate in itertools.product((False, True), (1, 2)):
        monkeypatch.setattr(Session, "step", with_scaler if scaled else taken)
        config = apply_settings(preset("tiny-x4"), [*settings, f"training.accumulate={accumulate}"])
        run = open_run(tmp_path / f"{scaled}-{accumulate}", config)
        list(train(config, source, run, device=torch.device("cpu")))
    assert norms[0] > 1e-3
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-3)


def test_every_image_of_a_part_has_a_level_and_noise_of_its_own_whatever_the_part():
    config = apply_settings(preset("tiny-x4"), ["training.batch=4"])
    gammas = torch.linspace(0.999, 0.01, 2001, dtype=torch.float64)
    whole = draw_for(config, gammas, 7, range(4), torch.empty(4, 3, 8, 8))
    parts = [draw_for(config, gammas, 7, places, torch.empty(2, 3, 8, 8)) for places in (range(2), range(2, 4))]
    assert len(set(whole.gamma.tolist())) == 4
    assert torch.equal(torch.cat([part.gamma for part in parts]), whole.gamma)
    assert torch.equal(torch.cat([part.eps for part in parts]), whole.eps)
    assert not torch.equal(whole.eps[0], whole.eps[1])
