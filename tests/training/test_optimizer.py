"""The learning rate and the moving average."""

import pytest
import torch

from sr3.build import build_optimizer
from sr3.config import OptimizerConfig
from sr3.training.ema import ema_decay_at, update_ema
from sr3.training.optimizer import learning_rate_at


def test_the_rate_rises_linearly_then_stays():
    config = OptimizerConfig(learning_rate=1e-4, warmup=10_000)
    assert learning_rate_at(0, config, steps=10**6) == pytest.approx(1e-8)
    assert learning_rate_at(4_999, config, steps=10**6) == pytest.approx(5e-5)
    assert {learning_rate_at(step, config, steps=10**6) for step in (9_999, 500_000, 999_999)} == {1e-4}


def test_the_rate_falls_linearly_at_the_end_when_asked():
    config = OptimizerConfig(learning_rate=1.0, warmup=0, cooldown=4)
    rates = [learning_rate_at(step, config, steps=10) for step in range(10)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_the_average_is_a_convex_sum():
    average, weight = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 7.0])
    update_ema([average], [weight], 0.75)
    assert average.tolist() == [1.25, 4.0]


def test_the_average_forgets_the_start():
    assert ema_decay_at(0, 0.9999) == pytest.approx(0.1)
    assert ema_decay_at(90, 0.9999) == pytest.approx(0.91)
    assert ema_decay_at(10**6, 0.9999) == 0.9999


@pytest.mark.slow
def test_adam_takes_its_moments_from_the_settings():
    optimizer = build_optimizer([torch.zeros(2, requires_grad=True)], OptimizerConfig(beta1=0.5, beta2=0.7))
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.7)
