"""DDIM (arXiv:2010.02502, Eq. 12 and 16): deterministic at eta 0, ancestral with posterior variance at eta 1."""

from collections.abc import Iterator
from dataclasses import replace

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import mix, per_image, posterior_variance
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step, level_pairs
from sr3.types import Grid, State

__all__ = ["ddim", "distilled"]


@described("ddim", Traits(calls_per_step=1, extra_states=0, noise="eta"))
def ddim(denoise: Denoise, y: State, grid: Grid, noise: NoiseSource, *, eta: float = 0.0) -> Iterator[Step]:
    """Walk y along the grid, one network call per step.

    eta: from 0 (no noise after the start) to 1; the added variance is eta^2 times the posterior's.
    """
    for gamma, gamma_next in level_pairs(grid, y):
        found = denoise(y, gamma)
        if float(gamma_next[0]) == 1:
            y = found.y0
            del found  # and with it the noisy state: a large image needs the memory; the share of eps is 0
            yield Step(y, y)
            return
        y0, eps = found
        del found
        added = eta**2 * posterior_variance(gamma, gamma_next)
        y = mix(gamma_next.sqrt(), y0, (1 - gamma_next - added).sqrt(), eps)
        del eps
        if eta > 0:
            y.add_(per_image(added.sqrt(), y) * noise.like(y))
        yield Step(y, y0)
        del y0


distilled = replace(ddim, name="distilled", traits=replace(ddim.traits, any_grid=False))
"""DDIM for a distilled model, which can use only the levels it was trained on."""
