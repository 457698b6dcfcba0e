"""Samplers: one method per file, each a generator of `Step`, and the table of all of them."""

from collections.abc import Mapping
from types import MappingProxyType

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers.ancestral import ancestral, ancestral_posterior
from sr3.diffusion.samplers.ddim import ddim, distilled
from sr3.diffusion.samplers.dpmpp import dpmpp_2m
from sr3.diffusion.samplers.heun import heun
from sr3.diffusion.samplers.ode import probability_flow
from sr3.diffusion.samplers.one_call import one_call
from sr3.diffusion.samplers.predictor_corrector import predictor_corrector
from sr3.diffusion.samplers.sampler import UNKNOWN, Sampler, SamplerFunction, Traits, as_sampler, described
from sr3.diffusion.samplers.step import Step, last, level_pairs, numbered
from sr3.types import Grid, State

__all__ = [
    "SAMPLERS",
    "UNKNOWN",
    "Sampler",
    "SamplerFunction",
    "Step",
    "Traits",
    "ancestral",
    "ancestral_posterior",
    "as_sampler",
    "ddim",
    "described",
    "distilled",
    "dpmpp_2m",
    "heun",
    "last",
    "level_pairs",
    "numbered",
    "one_call",
    "predictor_corrector",
    "probability_flow",
]

SAMPLERS: Mapping[str, Sampler[[Denoise, State, Grid, NoiseSource]]] = MappingProxyType(
    {
        sampler.name: as_sampler(sampler)
        for sampler in (
            ancestral,
            ancestral_posterior,
            ddim,
            dpmpp_2m,
            heun,
            probability_flow,
            predictor_corrector,
            one_call,
            distilled,
        )
    }
)
"""Every sampler by the name that the settings have for it (`sr3.config.SamplerKind`)."""
