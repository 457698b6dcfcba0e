"""DPM-Solver++(2M) (arXiv:2211.01095, Algorithm 2 and section 5), deterministic or with the noise of an SDE.

Second order at one network call a step: the clean state is extrapolated from the last two predictions, in the
half log-SNR of the paper, and takes the place of the prediction in a step of DDIM.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import eps_from_y0, log_snr, per_image, posterior_variance
from sr3.diffusion.samplers.step import Step
from sr3.types import Grid, Image

__all__ = ["dpmpp_2m"]


@torch.no_grad()
def dpmpp_2m(denoise: Denoise, y: Image, grid: Grid, noise: NoiseSource, *, eta: float = 0.0) -> Iterator[Step]:
    """Walk y along the grid, one network call a step.

    eta: from 0 (the ODE, no noise after the start) to 1 (the SDE variant); the added variance is eta^2 times the
    posterior's. The first step and the last are of first order, as there is no earlier level or no finite log-SNR.
    """
    before: Image | None = None
    width_before = 1.0
    for gamma, gamma_next in pairwise(grid[:, None].expand(-1, len(y))):
        y0 = denoise(y, gamma).y0
        width = float(log_snr(gamma_next[:1]) - log_snr(gamma[:1]))
        is_last = float(gamma_next[0]) == 1
        ahead = y0 if before is None or is_last else y0 + width / (2 * width_before) * (y0 - before)
        before, width_before = y0, width
        added = eta**2 * posterior_variance(gamma, gamma_next)
        eps = eps_from_y0(y, ahead, gamma)
        y = per_image(gamma_next.sqrt(), y) * ahead + per_image((1 - gamma_next - added).sqrt(), y) * eps
        if eta > 0 and not is_last:
            y = y + per_image(added.sqrt(), y) * noise.like(y)
        yield Step(y, y0)
