"""Distillation targets: one step of a student replaces several steps of its teacher.

Source: progressive distillation (arXiv:2202.00512, Algorithm 2), here in a single round: each step of the student (a
jump) is compared with several DDIM steps of the teacher (a walk), not with two. A student with eta above 0 jumps past
its next level, and noise is added to return to that level (arXiv:2210.03142, section 3.3). Both moves together are one
step of DDIM with noise: with tau^2 the added variance (arXiv:2010.02502, Eq. 16), the jump ends at the level
gamma_s / (1 - tau^2).
The teacher is a denoiser with its conditional inputs bound.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise, Denoiser
from sr3.diffusion.objective import LossKind, power_mean
from sr3.diffusion.process import eps_from_y0, per_image, posterior_variance, y0_from_step
from sr3.types import Gamma, Grid, State

__all__ = ["jump_levels", "jump_loss", "jump_target", "reached_level", "walk"]


def reached_level(gamma_t: Gamma, gamma_s: Gamma, *, eta: float) -> Gamma:
    """Level at which a jump must end so that noising its result back to gamma_s makes one DDIM step with that eta."""
    return gamma_s / (1 - eta**2 * posterior_variance(gamma_t, gamma_s))


def jump_levels(grid: Grid, *, eta: float, teacher_steps: int) -> Tensor:
    """List the teacher's levels within each jump of a grid, evenly spaced in angle, shape (steps, teacher_steps + 1).

    A row begins at a level of the grid and ends where the jump does; with eta 0 that is the next level.
    """
    starts, ends = grid[:-1], reached_level(grid[:-1], grid[1:], eta=eta)
    first, last = (levels.clamp(max=1).sqrt().asin()[:, None] for levels in (starts, ends))
    levels = torch.sin(torch.lerp(first, last, torch.linspace(0, 1, teacher_steps + 1, dtype=torch.float64))) ** 2
    levels[:, 0], levels[:, -1] = starts, ends.clamp(max=1)
    return levels


@torch.no_grad()
def walk(denoise: Denoise, y: State, levels: Tensor) -> State:
    """Take every image along its own levels by deterministic DDIM, one call per step. levels: (steps + 1, b), rising.

    The clean state is extrapolated from the last two predictions to the middle of the step in angle, which makes DDIM
    second order if steps are evenly spaced in angle. The first step, and one that ends at level 1, are first order.
    """
    before: State | None = None
    for gamma, gamma_next in pairwise(levels):
        y0 = denoise(y, gamma).y0
        ahead = y0
        if before is not None:
            ahead = y0 + per_image((gamma_next < 1) * torch.full_like(gamma, 0.5), y0) * (y0 - before)
        before = y0
        eps = eps_from_y0(y, ahead, gamma)
        y = per_image(gamma_next.sqrt(), y) * ahead + per_image((1 - gamma_next).sqrt(), y) * eps
    return y


@torch.no_grad()
def jump_target(teacher: Denoise, y_t: State, levels: Tensor) -> State:
    """Find the clean state with which one DDIM step ends where the teacher's walk ends. levels: as for `walk`."""
    return y0_from_step(y_t, walk(teacher, y_t, levels), levels[0], levels[-1])


def jump_loss(
    denoiser: Denoiser[Any],
    output: Tensor,
    y_t: State,
    target: State,
    *,
    gamma: Gamma,
    kind: LossKind,
) -> Tensor:
    """Compute the loss of a student's output for y_t against a target, a clean state; mean over pixels, (b,).

    In the units of the prediction: for v, squared errors of the clean state count 1 / (1 - gamma), the weight SNR + 1
    of arXiv:2202.00512.
    """
    return power_mean(output - denoiser.target_for(target, eps_from_y0(y_t, target, gamma), gamma), kind)
