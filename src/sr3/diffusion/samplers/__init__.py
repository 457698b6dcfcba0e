"""Samplers: one method per file, each a generator of `Step`."""

from sr3.diffusion.samplers.ancestral import ancestral
from sr3.diffusion.samplers.ddim import ddim
from sr3.diffusion.samplers.dpmpp import dpmpp_2m
from sr3.diffusion.samplers.heun import heun
from sr3.diffusion.samplers.ode import probability_flow
from sr3.diffusion.samplers.one_call import one_call
from sr3.diffusion.samplers.predictor_corrector import predictor_corrector
from sr3.diffusion.samplers.step import Step, last, numbered

__all__ = [
    "Step",
    "ancestral",
    "ddim",
    "dpmpp_2m",
    "heun",
    "last",
    "numbered",
    "one_call",
    "predictor_corrector",
    "probability_flow",
]
