"""The predictor-corrector sampler of score-SDE (arXiv:2011.13456, Algorithms 1, 3 and 5, appendix G).

The predictor is a step of ancestral sampling; the corrector moves the state by Langevin dynamics at the level reached,
so that errors do not accumulate. Its step size follows from a signal-to-noise ratio, separately for each image.
"""

from collections.abc import Iterator

import torch

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import alpha_between, forward_variance, per_image, posterior_mean, score_from_eps
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step
from sr3.types import Grid, State

__all__ = ["predictor_corrector"]


@described("predictor-corrector", Traits(calls_per_step=2, extra_states=7, noise="always", noisy_below=32))
def predictor_corrector(
    denoise: Denoise, y: State, grid: Grid, noise: NoiseSource, *, snr: float = 0.16, corrections: int = 1
) -> Iterator[Step]:
    """Walk y along the grid; 1 + corrections network calls per step, one for the last, which adds no noise.

    snr: ratio r of the corrector; 0.16 is score-SDE's for CIFAR-10. corrections: Langevin steps per level.
    """
    levels = [*grid[:, None].expand(-1, len(y)), torch.ones(len(y), dtype=torch.float64)]
    for gamma, gamma_next, gamma_after in zip(levels, levels[1:], levels[2:], strict=False):
        y0 = denoise(y, gamma).y0
        y = posterior_mean(y0, y, gamma, gamma_next)
        if float(gamma_next[0]) < 1:
            y.add_(per_image(forward_variance(gamma, gamma_next).sqrt(), y) * noise.like(y))
            for _ in range(corrections):
                score = score_from_eps(denoise(y, gamma_next).eps, gamma_next)
                z = noise.like(y)
                alpha = alpha_between(gamma_next, gamma_after)
                length = 2 * alpha * (snr * _norm(z) / _norm(score).clamp(min=1e-12)) ** 2
                y = y + per_image(length, y) * score + per_image((2 * length).sqrt(), y) * z
        yield Step(y, y0)
        del y0  # the next call needs the memory


def _norm(image: State) -> torch.Tensor:
    """Length of each image's vector, float64 on the CPU, shape (b,)."""
    return image.flatten(1).double().norm(dim=1).cpu()
