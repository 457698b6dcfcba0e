"""DPM-Solver++(2M) (arXiv:2211.01095, Algorithm 2 and section 5), deterministic or with the noise of an SDE.

Second order at one network call per step: the clean state is extrapolated from the last two predictions, in the
half log-SNR of the paper, and takes the place of the prediction in a step of DDIM.
"""

from collections.abc import Iterator

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import eps_from_y0, log_snr, mix, per_image, posterior_variance
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step, level_pairs
from sr3.types import Grid, State

__all__ = ["dpmpp_2m"]


@described("dpmpp-2m", Traits(calls_per_step=1, extra_states=0, noise="eta"))
def dpmpp_2m(denoise: Denoise, y: State, grid: Grid, noise: NoiseSource, *, eta: float = 0.0) -> Iterator[Step]:
    """Walk y along the grid, one network call per step.

    eta: from 0 (the ODE, no noise after the start) to 1 (the SDE variant); the added variance is eta^2 times the
    posterior's. The first step is first order for lack of an earlier level, the last because log-SNR is infinite at 1.
    """
    before: State | None = None
    width_before = 1.0
    for gamma, gamma_next in level_pairs(grid, y):
        y0 = denoise(y, gamma).y0
        width = float(log_snr(gamma_next[:1]) - log_snr(gamma[:1]))
        if float(gamma_next[0]) == 1:
            y = y0
            del before, y0  # and the noisy state: a large image needs the memory
            yield Step(y, y)
            return
        ahead = y0 if before is None else (y0 - before).mul_(width / (2 * width_before)).add_(y0)
        before, width_before = y0, width
        added = eta**2 * posterior_variance(gamma, gamma_next)
        eps = eps_from_y0(y, ahead, gamma)
        y = mix(gamma_next.sqrt(), ahead, (1 - gamma_next - added).sqrt(), eps)
        del eps, ahead
        if eta > 0:
            y.add_(per_image(added.sqrt(), y) * noise.like(y))
        yield Step(y, y0)
        del y0
