"""Distillation on data whose perfect denoiser, and whose perfect student, have a closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from oracles import MEAN, STD, oracle, pixels
from sr3.diffusion.denoiser import Denoiser, Prediction
from sr3.diffusion.distillation import jump_levels, jump_loss, jump_target, reached_level, walk
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import eps_from_y0, per_image, posterior_variance, y0_from_step
from sr3.diffusion.samplers import ddim, last
from sr3.diffusion.schedule import cosine_grid

FINE = 64


def levels(*values):
    return torch.tensor(values, dtype=torch.float64)


def flow(y, gamma_t, gamma_s):
    """Carry y from a level to a cleaner one along the probability flow: its quantile stays."""
    before, after = ((g * STD**2 + 1 - g).sqrt() for g in (gamma_t, gamma_s))
    quantile = (y - per_image(gamma_t.sqrt(), y) * MEAN) / per_image(before, y)
    return per_image(gamma_s.sqrt(), y) * MEAN + per_image(after, y) * quantile


def right_student(grid, eta):
    """Give the denoiser that gets with each of its jumps exactly where the flow gets."""
    ends = reached_level(grid[:-1], grid[1:], eta=eta)

    def denoise(y, gamma):
        end = ends[torch.searchsorted(grid, gamma[0])].expand(len(y))
        y0 = y0_from_step(y, flow(y, gamma, end), gamma, end)
        return Prediction(y0, eps_from_y0(y, y0, gamma))

    return denoise


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_a_jump_and_noise_back_are_a_step_of_ddim_with_noise(eta):
    gamma_t, gamma_s = levels(1e-4, 0.2, 0.6), levels(0.2, 0.6, 0.9)
    end = reached_level(gamma_t, gamma_s, eta=eta)
    assert bool(((end > gamma_s) & (end <= 1)).all())
    added = eta**2 * posterior_variance(gamma_t, gamma_s)
    torch.testing.assert_close(1 - gamma_s / end, added)
    torch.testing.assert_close((gamma_s / end * (1 - end)).sqrt(), (1 - gamma_s - added).sqrt())


def test_the_jumps_of_a_grid_without_noise_lie_end_to_end():
    grid = cosine_grid(4)
    found = jump_levels(grid, eta=0.0, teacher_steps=3)
    assert found.shape == (4, 4)
    assert torch.equal(found[:, 0], grid[:-1])
    assert torch.equal(found[:, -1], grid[1:])
    angles = found.sqrt().asin().diff(dim=1)
    torch.testing.assert_close(angles, angles[:, :1].expand(-1, 3))


def test_jumps_with_noise_reach_beyond_the_next_level_but_for_the_last():
    grid = cosine_grid(4)
    found = jump_levels(grid, eta=1.0, teacher_steps=2)
    assert bool((found[:-1, -1] > grid[1:-1]).all())
    assert float(found[-1, -1]) == 1.0
    assert bool((found.diff(dim=1) > 0).all())


@pytest.mark.slow
def test_the_teachers_walk_is_of_second_order():
    start, end = levels(0.02, 0.3), levels(0.7, 0.95)
    y = pixels(-1.2, 0.8)
    errors = []
    for steps in (8, 16, 32):
        angles = torch.lerp(start.sqrt().asin(), end.sqrt().asin(), torch.linspace(0, 1, steps + 1).double()[:, None])
        errors.append(float((walk(oracle, y, angles.sin() ** 2) - flow(y, start, end)).abs().max()))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders == pytest.approx([2, 2], abs=0.25)


def test_images_walk_along_their_own_levels():
    together = torch.stack([levels(0.02, 0.3), levels(0.1, 0.8), levels(0.5, 1.0)])
    y = pixels(-1.2, 0.8)
    alone = torch.cat([walk(oracle, y[k : k + 1], together[:, k : k + 1]) for k in range(2)])
    torch.testing.assert_close(walk(oracle, y, together), alone)


def test_one_step_by_the_target_ends_where_the_walk_does():
    taken = jump_levels(cosine_grid(3), eta=0.0, teacher_steps=5)[1:2].T
    y = pixels(0.4)
    y0 = jump_target(oracle, y, taken)
    eps = eps_from_y0(y, y0, taken[0])
    end = per_image(taken[-1].sqrt(), y) * y0 + per_image((1 - taken[-1]).sqrt(), y) * eps
    torch.testing.assert_close(end, walk(oracle, y, taken))


class Affine(nn.Module):
    """A network whose answer is a state's multiple and a constant: enough for Gaussian data at one level."""

    def __init__(self, slope, offset):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))
        self.offset = nn.Parameter(torch.tensor(offset, dtype=torch.float64))

    def forward(self, x, z, gamma):  # noqa: ARG002
        return self.slope * z + self.offset


@pytest.mark.slow
@pytest.mark.parametrize("prediction", ["v", "y0"])
@pytest.mark.parametrize(("jump", "eta"), [(0, 0.0), (2, 0.0), (0, 1.0), (1, 1.0), (3, 1.0)])
def test_the_loss_is_least_for_the_student_that_follows_the_flow(prediction, jump, eta):
    grid = cosine_grid(4)
    taken = jump_levels(grid, eta=eta, teacher_steps=FINE)[jump][:, None].expand(-1, 3)
    gamma, y = taken[0], pixels(-1.3, 0.2, 1.1)
    y0 = right_student(grid, eta)(y, gamma).y0
    wanted = Denoiser(nn.Identity(), prediction=prediction).target_for(y0, eps_from_y0(y, y0, gamma), gamma).flatten()
    slope = float((wanted[2] - wanted[0]) / 2.4)
    network = Affine(slope, float(wanted[0]) + 1.3 * slope)
    target = jump_target(oracle, y, taken)

    def loss():
        denoiser = Denoiser(network, prediction=prediction)
        with torch.no_grad():
            losses = jump_loss(denoiser, denoiser(y, y, gamma), y, target, gamma=gamma, kind="l2")
        return float(losses.mean())

    least = loss()
    assert least < 1e-4
    for parameter in network.parameters():
        for change in (-0.05, 0.05):
            with torch.no_grad():
                parameter.add_(change)
            assert loss() > least + 1e-4
            with torch.no_grad():
                parameter.sub_(change)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_right_student_samples_the_data_in_few_steps(steps, eta):
    grid, count = cosine_grid(steps, gamma_first=1e-6), 4
    noise = NoiseSource(range(count))
    start = noise.draw((1, 100, 100)).double()
    found = last(ddim(right_student(grid, eta), start, grid, noise, eta=eta))
    assert float(found.mean()) == pytest.approx(MEAN, abs=4 * STD / np.sqrt(found.numel()))
    assert float(found.std()) == pytest.approx(STD, abs=4 * STD / np.sqrt(2 * found.numel()))


def test_the_teacher_itself_does_not_in_as_few():
    noise = NoiseSource(range(4))
    found = last(ddim(oracle, noise.draw((1, 100, 100)).double(), cosine_grid(4), noise, eta=0.0))
    assert float(found.std()) < 0.9 * STD


def test_no_gradient_reaches_the_teacher():
    teacher = Denoiser(Affine(0.2, 0.1), prediction="v")
    taken = jump_levels(cosine_grid(2), eta=0.0, teacher_steps=2)[:1].T
    y = pixels(0.5)
    assert not jump_target(teacher.bind(torch.zeros_like(y), clip=False), y, taken).requires_grad
