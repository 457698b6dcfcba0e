"""The regression baseline of SR3 (arXiv:2104.07636, section 3): one network call, no noise, no refinement."""

from collections.abc import Iterator

import torch

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers.sampler import Traits, described
from sr3.diffusion.samplers.step import Step
from sr3.types import Grid, State

__all__ = ["one_call"]


@described("regression", Traits(calls_per_step=1, extra_states=0, noise="never", any_grid=False))
def one_call(denoise: Denoise, y: State, _grid: Grid, _noise: NoiseSource) -> Iterator[Step]:
    """Return the clean state predicted at level 0, where the network sees no noisy image; y gives only the shape."""
    y0 = denoise(torch.zeros_like(y), torch.zeros(len(y), dtype=torch.float64)).y0
    yield Step(y0, y0)
