"""Walks from noise to a picture: one method a file, each a generator of `Step`."""

from sr3.diffusion.samplers.ancestral import ancestral
from sr3.diffusion.samplers.ddim import ddim
from sr3.diffusion.samplers.dpmpp import dpmpp_2m
from sr3.diffusion.samplers.step import Step, last

__all__ = ["Step", "ancestral", "ddim", "dpmpp_2m", "last"]
