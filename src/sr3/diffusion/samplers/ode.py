"""The probability-flow ODE of score-SDE (arXiv:2011.13456, Eq. 13), by the classical Runge-Kutta method: fourth order.

In the angle phi with gamma = sin^2(phi), a state is sin(phi) y0 + cos(phi) eps and the ODE is
dy / dphi = cos(phi) y0 - sin(phi) eps = -v: bounded at every level, so the walk has no stiff end.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import per_image, v_from_y0_eps
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step, level_pairs
from sr3.types import Gamma, Grid, State

__all__ = ["probability_flow"]


@described("probability-flow", Traits(calls_per_step=4, extra_states=5, noise="never"))
def probability_flow(denoise: Denoise, y: State, grid: Grid, _noise: NoiseSource) -> Iterator[Step]:
    """Walk y along the grid without noise, four network calls per step and one for the last, where v is not defined."""
    for gamma, gamma_next in level_pairs(grid, y):
        found = denoise(y, gamma)
        if float(gamma_next[0]) == 1:
            y = found.y0
            del found
            yield Step(y, y)
            return
        y0, eps = found
        del found
        here, there = _angle(gamma), _angle(gamma_next)
        middle, width = torch.sin((here + there) / 2) ** 2, per_image(there - here, y)
        slope = v_from_y0_eps(y0, eps, gamma).neg_()
        total = slope.clone()
        del eps  # the calls need the memory
        for share, level, weight in ((0.5, middle, 2), (0.5, middle, 2), (1, gamma_next, 1)):
            slope = _slope(denoise, y + share * width * slope, level)
            total.add_(weight * slope)
        y = y + width / 6 * total
        del slope, total
        yield Step(y, y0)
        del y0  # the next call needs the memory


def _angle(gamma: Gamma) -> Tensor:
    return gamma.sqrt().asin()


def _slope(denoise: Denoise, y: State, gamma: Gamma) -> State:
    y0, eps = denoise(y, gamma)
    return v_from_y0_eps(y0, eps, gamma).neg_()
