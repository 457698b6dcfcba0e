"""Warnings about sampling settings that docs/explanation/samplers.md measured to leave noise."""

import warnings

from sr3.config import SamplingConfig
from sr3.diffusion.samplers import SAMPLERS

__all__ = ["warn_of_noise", "weakness"]


def weakness(sampling: SamplingConfig) -> str:
    """Say in one line why the result will be noisy, and what to take instead; nothing where it is not known to be."""
    if sampling.found is not None:
        return ""
    traits = SAMPLERS[sampling.sampler].traits
    least = traits.noisy_below_on.get(sampling.grid, traits.noisy_below)
    if not 1 < sampling.steps < least:  # one step is the network's answer itself
        return ""
    grid, better = "", "--sampler dpmpp-2m"
    if traits.noisy_below_on and sampling.grid not in traits.noisy_below_on:
        grid, better = f" on a {sampling.grid} grid", f"--grid {next(iter(traits.noisy_below_on))}"
    return (
        f"{sampling.sampler} in {sampling.steps} steps{grid} leaves noise in the result; "
        f"give {least} or more --steps, or {better}"
    )


def warn_of_noise(sampling: SamplingConfig) -> None:
    """Warn of a way of sampling that is known to leave noise."""
    if text := weakness(sampling):
        warnings.warn(text, stacklevel=3)
