import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from sr3.diffusion.schedule import (
    MAX_FIRST_GAMMA,
    check_grid,
    cosine_gammas,
    cosine_grid,
    draw_gamma,
    karras_grid,
    last_beta,
    linear_gammas,
    linear_grid,
    log_snr_grid,
)
from sr3.errors import GridError

JUST_BELOW_1 = math.nextafter(1, 0)
FAMILIES = [linear_grid, cosine_grid, log_snr_grid, karras_grid]


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def gamma_at_end(num_steps, first, last):
    return np.prod(1 - np.linspace(first, last, num_steps))


@pytest.mark.slow
@given(st.integers(2, 300), st.floats(1e-6, 1e-3), st.floats(1e-3, 0.9))
def test_linear_levels_are_the_running_product_of_1_minus_beta(num_levels, first, last):
    gammas = linear_gammas(num_levels, first, last)
    assert gammas.dtype == torch.float64
    np.testing.assert_allclose(gammas, np.cumprod(1 - np.linspace(first, last, num_levels)), rtol=1e-12)


def test_the_training_schedule_starts_at_one_in_a_million_and_ends_at_4_4e_minus_5():
    gammas = linear_gammas(2000, 1e-6, 1e-2)
    assert len(gammas) == 2000
    assert 1 - gammas[0].item() == pytest.approx(1e-6, rel=1e-9)
    assert gammas[-1].item() == pytest.approx(4.4e-5, rel=0.01)


@pytest.mark.parametrize(("offset", "max_beta"), [(0.008, 0.999), (0.05, 0.5)])
def test_cosine_levels_are_ratios_of_the_ideal_where_no_beta_is_held(offset, max_beta):
    num_levels = 50
    t = np.arange(num_levels + 1) / num_levels
    ideal = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    gammas = cosine_gammas(num_levels, offset=offset, max_beta=max_beta).numpy()
    free = int(np.sum(1 - ideal[1:] / ideal[:-1] < max_beta))
    assert num_levels - 8 < free < num_levels
    np.testing.assert_allclose(gammas[:free], ideal[1 : free + 1] / ideal[0], rtol=1e-12)
    np.testing.assert_allclose(gammas[free:] / gammas[free - 1 : -1], 1 - max_beta, rtol=1e-9)


def test_cosine_levels_have_the_offset_and_limit_of_their_source():
    gammas = cosine_gammas(1000).numpy()
    ideal = np.cos((np.array([0, 1, 500]) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(gammas[[0, 499]], ideal[1:] / ideal[0], rtol=1e-12)
    assert gammas[-1] / gammas[-2] == pytest.approx(0.001, rel=1e-9)


# The share of draws below a level: a straight line in the drawn space between the edges of the schedule.
SPACES = {"gamma": np.asarray, "sqrt_gamma": np.sqrt}
SCHEDULE = double(0.8, 0.3, 0.02)


def share_below(gamma, space):
    edges = np.array([0.02, 0.3, 0.8, 1.0])
    return np.interp(SPACES[space](gamma), SPACES[space](edges), [0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("space", list(SPACES))
def test_levels_are_drawn_from_the_mixture_of_segments(space):
    uniform = torch.from_numpy(np.random.default_rng(0).random((20_000, 2)))
    drawn = draw_gamma(SCHEDULE, uniform, space=space).numpy()
    for other in SPACES:
        fits = stats.kstest(drawn, share_below, args=(other,)).pvalue
        assert fits > 0.05 if other == space else fits < 1e-6


def test_levels_are_uniform_in_gamma_unless_told():
    uniform = torch.from_numpy(np.random.default_rng(1).random((100, 2)))
    assert torch.equal(draw_gamma(SCHEDULE, uniform), draw_gamma(SCHEDULE, uniform, space="gamma"))


@pytest.mark.parametrize("space", list(SPACES))
def test_the_first_segment_reaches_up_to_the_clean_picture(space):
    drawn = draw_gamma(SCHEDULE, double(0, 0, 0.3, JUST_BELOW_1).reshape(2, 2), space=space)
    assert drawn[0].item() == pytest.approx(0.8, rel=1e-12)
    assert drawn[1].item() == pytest.approx(1, rel=1e-12)
    assert drawn[1].item() <= 1


@pytest.mark.parametrize("space", list(SPACES))
def test_the_last_segment_reaches_down_to_the_last_level(space):
    drawn = draw_gamma(SCHEDULE, double(JUST_BELOW_1, 0, JUST_BELOW_1, JUST_BELOW_1).reshape(2, 2), space=space)
    np.testing.assert_allclose(drawn, [0.02, 0.3], rtol=1e-12)


def test_the_middle_of_a_segment_depends_on_the_space():
    middle = double(0.5, 0.5).reshape(1, 2)
    assert draw_gamma(SCHEDULE, middle).item() == pytest.approx(0.55)
    in_sqrt = ((math.sqrt(0.8) + math.sqrt(0.3)) / 2) ** 2
    assert draw_gamma(SCHEDULE, middle, space="sqrt_gamma").item() == pytest.approx(in_sqrt)


def test_every_image_draws_its_own_level():
    uniform = torch.from_numpy(np.random.default_rng(2).random((16, 2)))
    together = draw_gamma(SCHEDULE, uniform)
    assert together.shape == (16,)
    assert len(set(together.tolist())) == 16
    alone = [draw_gamma(SCHEDULE, row[None]).item() for row in uniform]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("num_steps", "beta"),
    [(1000, 0.0199), (500, 0.0396), (250, 0.0782), (100, 0.1875), (50, 0.35), (25, 0.61)],
)
def test_last_betas_are_those_of_the_table(num_steps, beta):
    assert last_beta(num_steps, 4.4e-5) == pytest.approx(beta, rel=0.004)


@pytest.mark.slow
@given(st.integers(2, 200), st.floats(1e-6, 1e-3), st.floats(1e-5, 0.5))
def test_the_last_beta_is_the_root_scipy_finds(num_steps, beta_first, gamma_first):
    def miss(beta):
        return np.log(gamma_at_end(num_steps, beta_first, beta) / gamma_first)

    expected = optimize.brentq(miss, beta_first, 1 - 1e-12, xtol=1e-14)
    assert last_beta(num_steps, gamma_first, beta_first=beta_first) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("num_steps", "gamma_first"), [(1, 4.4e-5), (1, 0.99995), (0, 4.4e-5), (2, 1e-13)])
def test_levels_that_no_linear_schedule_reaches_are_refused(num_steps, gamma_first):
    with pytest.raises(GridError, match="use more steps or a cosine or log_snr grid"):
        last_beta(num_steps, gamma_first)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_steps", [2, 3, 20, 1000])
def test_grids_rise_from_where_training_ended_to_exactly_1(family, num_steps):
    grid = family(num_steps)
    assert grid.dtype == torch.float64
    assert grid.shape == (num_steps + 1,)
    assert bool((grid.diff() > 0).all())
    assert grid[0].item() == pytest.approx(4.4e-5, rel=1e-9)
    assert grid[-1].item() == 1
    assert family(num_steps, gamma_first=1e-3)[0].item() == pytest.approx(1e-3, rel=1e-9)


@pytest.mark.parametrize("family", [cosine_grid, log_snr_grid])
def test_one_step_is_a_grid(family):
    np.testing.assert_allclose(family(1), [4.4e-5, 1], rtol=1e-12)


@pytest.mark.parametrize("num_steps", [0, -1])
def test_grids_of_no_step_are_refused(num_steps):
    with pytest.raises(GridError, match=f"no linear schedule of {num_steps} steps"):
        linear_grid(num_steps)
    for family in (cosine_grid, log_snr_grid):
        with pytest.raises(GridError, match=f"at least 1 step, got {num_steps}"):
            family(num_steps)


@pytest.mark.parametrize("levels", [[], [1.0]])
def test_one_level_is_no_grid(levels):
    with pytest.raises(GridError, match="at least two"):
        check_grid(double(*levels))


def test_a_linear_grid_has_linear_betas():
    gammas = linear_grid(100, beta_first=2e-4, gamma_first=1e-4).flip(0).numpy()
    assert gammas[-1] == pytest.approx(1e-4, rel=1e-9)
    betas = 1 - gammas[1:] / gammas[:-1]
    np.testing.assert_allclose(np.diff(betas), (betas[-1] - betas[0]) / 99, rtol=1e-6)
    assert betas[0] == pytest.approx(2e-4, rel=1e-9)


def test_a_linear_grid_starts_its_betas_at_1e_minus_4_unless_told():
    assert linear_grid(50)[-2].item() == pytest.approx(1 - 1e-4, rel=1e-12)


def test_a_cosine_grid_divides_the_angle_evenly():
    angles = np.arcsin(np.sqrt(cosine_grid(40, gamma_first=1e-3).numpy()))
    np.testing.assert_allclose(angles, np.linspace(np.arcsin(np.sqrt(1e-3)), np.pi / 2, 41), atol=1e-12)


def test_a_log_snr_grid_divides_the_log_snr_evenly():
    levels = log_snr_grid(40, gamma_first=1e-3, gamma_last=0.99).numpy()[:-1]
    ends = np.log(1e-3 / 0.999), np.log(0.99 / 0.01)
    np.testing.assert_allclose(np.log(levels / (1 - levels)), np.linspace(*ends, 40), atol=1e-9)


def test_a_log_snr_grid_ends_its_even_part_at_0_999_unless_told():
    assert log_snr_grid(5)[-2].item() == pytest.approx(0.999, rel=1e-12)


def test_the_training_betas_in_fewer_steps_are_refused_with_the_remedy():
    gammas = linear_gammas(100, 1e-6, 1e-2)
    assert gammas[-1].item() == pytest.approx(0.61, abs=0.005)
    with pytest.raises(GridError) as refusal:
        check_grid(torch.cat([gammas.flip(0), double(1)]))
    message = str(refusal.value)
    assert "starts at gamma 0.605" in message
    assert "cannot be shortened" in message
    assert "for 100 steps use linear betas from 1e-4 to 0.1875 (linear_grid)" in message


@pytest.mark.parametrize(
    ("num_steps", "remedy"), [(10, r"cosine_grid\(10\)"), (19, r"cosine_grid\(19\)"), (20, "linear_grid")]
)
def test_the_remedy_for_a_few_steps_is_a_cosine_grid(num_steps, remedy):
    with pytest.raises(GridError, match=remedy):
        check_grid(torch.linspace(0.5, 1, num_steps + 1))


@pytest.mark.parametrize(
    "levels",
    [[0.001, 0.5], [0.001, 0.5, 0.5, 1.0], [0.005, 0.001, 1.0], [0.0, 0.5, 1.0], [-0.1, 1.0], [0.001, 1.1]],
)
def test_levels_that_are_no_grid_are_refused(levels):
    with pytest.raises(GridError, match="rises strictly and ends at 1"):
        check_grid(double(*levels))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_levels_that_are_no_numbers_are_refused(bad):
    with pytest.raises(GridError, match="finite"):
        check_grid(double(0.001, bad, 1))


def test_a_table_of_levels_is_refused():
    with pytest.raises(GridError, match=r"\(2, 2\)"):
        check_grid(double(0.001, 1, 0.001, 1).reshape(2, 2))


def test_a_good_grid_comes_back_in_float64():
    grid = check_grid(torch.tensor([0.0078125, 0.5, 1.0]))
    assert grid.dtype == torch.float64
    assert grid.tolist() == [0.0078125, 0.5, 1]


def test_a_grid_may_start_at_the_limit_and_not_above_it():
    assert MAX_FIRST_GAMMA == 0.01
    assert check_grid(double(0.01, 1))[0].item() == 0.01
    with pytest.raises(GridError, match="pure noise"):
        check_grid(double(math.nextafter(0.01, 1), 1))


def test_a_karras_grid_divides_the_root_of_sigma_evenly():
    grid = karras_grid(8, gamma_first=1e-4, gamma_last=0.99, rho=5.0)
    sigma = np.sqrt((1 - grid.numpy()[:-1]) / grid.numpy()[:-1])
    expected = np.linspace(np.sqrt(0.9999 / 1e-4) ** (1 / 5), np.sqrt(0.01 / 0.99) ** (1 / 5), 8) ** 5
    np.testing.assert_allclose(sigma, expected, rtol=1e-9)


def test_a_power_above_1_moves_the_levels_of_a_cosine_grid_towards_the_picture():
    plain, bent = cosine_grid(10), cosine_grid(10, power=2.0)
    assert float(plain[0]) == pytest.approx(float(bent[0]))
    assert bool((bent[1:-1] > plain[1:-1]).all())
    angle = np.arccos(np.sqrt(bent.numpy()))
    np.testing.assert_allclose(angle[5], angle[0] * 0.5**2, rtol=1e-9)
