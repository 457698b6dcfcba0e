"""Bootstrap intervals, beside scipy's."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sr3.evaluation.intervals import around, draws, mean_figure, set_figure


@pytest.mark.slow
def test_the_interval_of_a_mean_is_that_of_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, size=60)
    figure = mean_figure(torch.from_numpy(values), times=20_000, seed=0)
    other = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert figure.value == pytest.approx(values.mean())
    assert (figure.low, figure.high) == pytest.approx((other.low, other.high), abs=0.01)
    assert figure.count == 60


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for seed in range(300):
        figure = mean_figure(torch.randn(50, generator=generator).double(), times=300, seed=seed)
        assert figure.low is not None
        assert figure.high is not None
        hits += figure.low <= 0 <= figure.high
    assert 0.90 < hits / 300 < 0.98


def test_the_same_seed_draws_the_same_pictures():
    assert torch.equal(draws(7, 30, 1), draws(7, 30, 1))
    assert not torch.equal(draws(7, 30, 1), draws(7, 30, 2))
    assert set(draws(7, 30, 1).flatten().tolist()) == set(range(7))


def test_pictures_without_a_figure_do_not_count():
    values = torch.tensor([1.0, math.nan, 3.0])
    assert mean_figure(values, times=50, seed=0).value == 2
    assert mean_figure(values, times=50, seed=0).count == 2
    assert mean_figure(torch.tensor([math.nan]), times=50, seed=0).count == 0


def test_one_picture_or_an_infinite_figure_has_no_interval():
    assert mean_figure(torch.tensor([4.0]), times=50, seed=0).low is None
    endless = mean_figure(torch.tensor([4.0, math.inf]), times=50, seed=0)
    assert (endless.value, endless.low, endless.high) == (math.inf, None, None)


@pytest.mark.slow
def test_a_figure_of_a_set_lies_in_the_middle_of_its_interval():
    values = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    figure, drawn = set_figure(lambda places: float(values[places].mean()), 40, times=2000, seed=3)
    assert figure.value == pytest.approx(float(values.mean()))
    assert len(drawn) == 2000
    reach = 1.96 * float(values.std(correction=0)) / 40**0.5
    assert (figure.low, figure.high) == pytest.approx((figure.value - reach, figure.value + reach), abs=0.02)


def test_one_draw_has_no_deviation():
    assert around(1.0, torch.tensor([1.0]), 5).low is None
