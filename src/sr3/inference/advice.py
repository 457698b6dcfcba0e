"""Warnings about sampling settings that docs/samplers.md measured to leave noise."""

import warnings

from sr3.config import SamplingConfig

__all__ = ["warn_of_noise", "weakness"]

_LEAST = {"ancestral": 32, "predictor-corrector": 32, "heun": 32}
"""Steps below which a sampler leaves noise, from two on; one step is the network's answer itself."""
_LEAST_ON_KARRAS = 8


def weakness(sampling: SamplingConfig) -> str:
    """Say in one line why the result will be noisy, and what to take instead; nothing where it is not known to be."""
    if sampling.found is not None:
        return ""
    on_karras = sampling.sampler == "heun" and sampling.grid == "karras"
    least = _LEAST_ON_KARRAS if on_karras else _LEAST.get(sampling.sampler, 0)
    if not 1 < sampling.steps < least:
        return ""
    grid = "" if on_karras or sampling.sampler != "heun" else f" on a {sampling.grid} grid"
    better = "--grid karras" if grid else "--sampler dpmpp-2m"
    return f"{sampling.sampler} in {sampling.steps} steps{grid} leaves noise; give {least} or more --steps, or {better}"


def warn_of_noise(sampling: SamplingConfig) -> None:
    """Warn of a way of sampling that is known to leave noise."""
    if text := weakness(sampling):
        warnings.warn(text, stacklevel=3)
