"""Heun's method on the probability-flow ODE in sigma (EDM, arXiv:2206.00364, Algorithm 1): second order.

With u = y / sqrt(gamma) and sigma = sqrt((1 - gamma) / gamma), the ODE of SR3's process is du / dsigma = eps. Two calls
a step, one for the last, where sigma is 0. Made for grids that are even in a power of sigma (`karras_grid`).
"""

from collections.abc import Iterator

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import per_image, sigma
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step, level_pairs
from sr3.types import Grid, State

__all__ = ["heun"]


@described(
    "heun",
    Traits(calls_per_step=2, extra_states=3, noise="never", noisy_below=32, noisy_below_on={"karras": 8}),
)
def heun(denoise: Denoise, y: State, grid: Grid, _noise: NoiseSource) -> Iterator[Step]:
    """Walk y along the grid without noise, two network calls per step: an Euler step and its correction."""
    for gamma, gamma_next in level_pairs(grid, y):
        found = denoise(y, gamma)
        if float(gamma_next[0]) == 1:
            y = found.y0
            del found
            yield Step(y, y)
            return
        y0, eps = found
        del found
        half, shrink = per_image(sigma(gamma_next) - sigma(gamma), y) / 2, per_image(gamma_next.sqrt(), y)
        # Only the midpoint of the state is kept, to leave memory for the second call.
        u = per_image(gamma.rsqrt(), y) * y + half * eps
        y = shrink * (u + half * eps)
        del eps
        y = shrink * (u + half * denoise(y, gamma_next).eps)
        del u
        yield Step(y, y0)
        del y0  # the next call needs the memory
