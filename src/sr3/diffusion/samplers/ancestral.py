"""Ancestral sampling: SR3's Algorithm 2 (arXiv:2104.07636), with either variance."""

from collections.abc import Iterator
from typing import Literal

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import forward_variance, per_image, posterior_mean, posterior_variance
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step, level_pairs
from sr3.types import Grid, State

__all__ = ["Variance", "ancestral", "ancestral_posterior"]

Variance = Literal["forward", "posterior"]


@described("ancestral", Traits(calls_per_step=1, extra_states=0, noise="always", noisy_below=32))
def ancestral(
    denoise: Denoise, y: State, grid: Grid, noise: NoiseSource, *, variance: Variance = "forward"
) -> Iterator[Step]:
    """Walk y along the grid by draws from p(y_s | y_t, x), one network call per step (Algorithm 2).

    variance: `forward` is 1 - alpha, the paper's; `posterior` is that of q(y_s | y0, y_t) (Eq. 4).
    The mean is that of Eq. 4 at the predicted y0, equal to Algorithm 2's. The last step adds no noise.
    """
    variance_of = forward_variance if variance == "forward" else posterior_variance
    for gamma, gamma_next in level_pairs(grid, y):
        y0 = denoise(y, gamma).y0
        y = posterior_mean(y0, y, gamma, gamma_next)
        if float(gamma_next[0]) < 1:
            y.add_(per_image(variance_of(gamma, gamma_next).sqrt(), y) * noise.like(y))
        yield Step(y, y0)
        del y0  # the next call needs the memory


@described("ancestral-posterior", Traits(calls_per_step=1, extra_states=0, noise="always"))
def ancestral_posterior(denoise: Denoise, y: State, grid: Grid, noise: NoiseSource) -> Iterator[Step]:
    """Sample as `ancestral` does, with the variance of the posterior (Eq. 4)."""
    return ancestral.walk(denoise, y, grid, noise, variance="posterior")
