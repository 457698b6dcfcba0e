"""Noise levels: training schedules, the training distribution p(gamma), and sampling grids.

Source: SR3, arXiv:2104.07636, section 2.4 (p(gamma)); cosine of arXiv:2102.09672 (Eq. 17); WaveGrad,
arXiv:2009.00713, for the draw in sqrt(gamma). Levels are float64 on the CPU.
The only module with a timestep t.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from sr3.errors import GridError
from sr3.types import Gamma, Grid

__all__ = [
    "MAX_FIRST_GAMMA",
    "check_grid",
    "cosine_gammas",
    "cosine_grid",
    "draw_gamma",
    "karras_grid",
    "last_beta",
    "linear_gammas",
    "linear_grid",
    "log_snr_grid",
]

MAX_FIRST_GAMMA = 0.01
"""Samplers start at N(0, I): above this share of signal, the start differs from what the network was trained on."""


def linear_gammas(num_levels: int, beta_first: float, beta_last: float) -> Tensor:
    """Levels gamma_1 .. gamma_T of linearly rising betas, in falling order, shape (T,).

    The training schedule of the paper's group is 1e-6 .. 1e-2 over T = 2000 (arXiv:2111.05826).
    """
    betas = torch.linspace(beta_first, beta_last, num_levels, dtype=torch.float64)
    return (1 - betas).cumprod(0)


def cosine_gammas(num_levels: int, *, offset: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """Levels gamma_1 .. gamma_T of the cosine schedule, in falling order, shape (T,) (arXiv:2102.09672, Eq. 17).

    Each beta is clipped to max_beta, as in that paper, so the last level is small but not 0.
    """
    t = torch.arange(num_levels + 1, dtype=torch.float64) / num_levels
    ideal = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    betas = (1 - ideal[1:] / ideal[:-1]).clamp(max=max_beta)
    return (1 - betas).cumprod(0)


def draw_gamma(gammas: Tensor, uniform: Tensor, *, space: Literal["gamma", "sqrt_gamma"] = "gamma") -> Gamma:
    """Draw a level for every image from p(gamma) = sum_t (1/T) U(gamma_{t-1}, gamma_t) (section 2.4).

    gammas: the schedule, falling, shape (T,); gamma_0 = 1 is added here.
    uniform: float64 in [0, 1), shape (b, 2): the first column selects the segment t, the second the position in it.
    space: quantity that is uniform within a segment; gamma in the paper's formula, sqrt(gamma) in WaveGrad's code.
    """
    edges = torch.cat([torch.ones(1, dtype=torch.float64), gammas])
    t = (uniform[:, 0] * len(gammas)).long().clamp(max=len(gammas) - 1)
    cleaner, noisier = edges[t], edges[t + 1]
    if space == "gamma":
        return noisier + uniform[:, 1] * (cleaner - noisier)
    return (noisier.sqrt() + uniform[:, 1] * (cleaner.sqrt() - noisier.sqrt())) ** 2


def last_beta(num_steps: int, gamma_first: float, *, beta_first: float = 1e-4) -> float:
    """Find the last beta of a linear grid of num_steps that starts at the level gamma_first.

    Taking every n-th beta of the training schedule instead would start far from N(0, I), and the output would be
    noise. Bisection, to float64 rounding.
    """
    low, high = beta_first, 1 - 1e-12
    if num_steps < 2 or float(linear_gammas(num_steps, beta_first, high)[-1]) > gamma_first:
        raise GridError(
            f"no linear schedule of {num_steps} steps reaches gamma {gamma_first:g}; "
            "use more steps or a cosine or log_snr grid"
        )
    for _ in range(200):
        middle = (low + high) / 2
        if float(linear_gammas(num_steps, beta_first, middle)[-1]) > gamma_first:
            low = middle
        else:
            high = middle
    return high


def linear_grid(
    num_steps: int, *, beta_first: float = 1e-4, gamma_first: float = 4.4e-5, most: float = MAX_FIRST_GAMMA
) -> Grid:
    """Sampling levels of linear betas that start at gamma_first and rise to 1, shape (num_steps + 1,).

    Below about 20 steps the last betas come close to 1; a cosine or log_snr grid is better there.
    """
    gammas = linear_gammas(num_steps, beta_first, last_beta(num_steps, gamma_first, beta_first=beta_first))
    return check_grid(torch.cat([gammas.flip(0), torch.ones(1, dtype=torch.float64)]), most=most)


def cosine_grid(
    num_steps: int, *, gamma_first: float = 4.4e-5, power: float = 1.0, most: float = MAX_FIRST_GAMMA
) -> Grid:
    """Sampling levels gamma = sin^2(phi), with phi divided into steps, from gamma_first to 1, shape (num_steps + 1,).

    power: 1 spaces phi evenly; above 1 puts more levels near the image, below 1 near the noise.
    """
    first = math.asin(math.sqrt(gamma_first))
    left = torch.linspace(1, 0, _at_least_one(num_steps) + 1, dtype=torch.float64) ** power
    grid = torch.cos((math.pi / 2 - first) * left) ** 2
    grid[-1] = 1.0
    return check_grid(grid, most=most)


def log_snr_grid(
    num_steps: int, *, gamma_first: float = 4.4e-5, gamma_last: float = 0.999, most: float = MAX_FIRST_GAMMA
) -> Grid:
    """Sampling levels evenly spaced in log-SNR from gamma_first to gamma_last, then 1, shape (num_steps + 1,)."""
    ends = torch.tensor([gamma_first, gamma_last], dtype=torch.float64).logit()
    levels = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, _at_least_one(num_steps), dtype=torch.float64))
    return check_grid(torch.cat([levels.sigmoid(), torch.ones(1, dtype=torch.float64)]), most=most)


def karras_grid(
    num_steps: int,
    *,
    gamma_first: float = 4.4e-5,
    gamma_last: float = 0.9999,
    rho: float = 7.0,
    most: float = MAX_FIRST_GAMMA,
) -> Grid:
    """Sampling levels evenly spaced in sigma^(1 / rho) from gamma_first to gamma_last, then 1, shape (num_steps + 1,).

    Source: EDM, arXiv:2206.00364, Eq. 5, with sigma = sqrt((1 - gamma) / gamma).
    """
    ends = torch.tensor([gamma_first, gamma_last], dtype=torch.float64)
    roots = ((1 - ends) / ends).sqrt() ** (1 / rho)
    sigmas = torch.lerp(roots[0], roots[1], torch.linspace(0, 1, _at_least_one(num_steps), dtype=torch.float64)) ** rho
    return check_grid(torch.cat([1 / (1 + sigmas**2), torch.ones(1, dtype=torch.float64)]), most=most)


def check_grid(grid: Tensor, *, most: float = MAX_FIRST_GAMMA) -> Grid:
    """Return the grid as float64 on the CPU; GridError if a sampler cannot get from noise to an image along it.

    A grid has at least two levels, rises strictly, ends at exactly 1 and starts close to pure noise.
    most: largest allowed first level; sampling that starts from a noised image may start higher than from pure noise.
    """
    grid = torch.as_tensor(grid, dtype=torch.float64, device="cpu")
    if grid.ndim != 1 or len(grid) < 2 or not bool(grid.isfinite().all()):
        raise GridError(f"a grid is a list of at least two finite gammas, got shape {tuple(grid.shape)}")
    if bool((grid.diff() <= 0).any()) or float(grid[0]) <= 0 or float(grid[-1]) != 1:
        raise GridError(f"a grid of gammas lies above 0, rises strictly and ends at 1, but {_fault(grid)}")
    first = float(grid[0])
    if first > most:
        raise GridError(
            f"the grid starts at gamma {first:.3g}, but sampling starts from pure noise (at most "
            f"{most:g}): the output would be noise. A training schedule cannot be shortened by "
            f"taking fewer of its betas; {_remedy(len(grid) - 1)}"
        )
    return grid


def _fault(grid: Tensor) -> str:
    """Describe where a grid does not rise from above 0 to 1, and what to do."""
    falls = (grid.diff() <= 0).nonzero().flatten().tolist()
    if falls:
        k = falls[0]
        return f"{float(grid[k + 1]):.6g} follows {float(grid[k]):.6g}; sort the levels, each once"
    if float(grid[0]) <= 0:
        return f"it starts at {float(grid[0]):.6g}; start at a small level such as 4.4e-5"
    return f"it ends at {float(grid[-1]):.6g}; append 1"


def _remedy(num_steps: int) -> str:
    if num_steps < 20:
        return f"choose the gammas directly, e.g. cosine_grid({num_steps})"
    beta = last_beta(num_steps, 4.4e-5)
    return f"for {num_steps} steps use linear betas from 1e-4 to {beta:.4g} (linear_grid) or cosine_grid"


def _at_least_one(num_steps: int) -> int:
    if num_steps < 1:
        raise GridError(f"a sampler takes at least 1 step, got {num_steps}")
    return num_steps
