"""Results of any size: the model's passes one after the other, then a reduction and correction at that size."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.diffusion.samplers import numbered
from sr3.images.resize import resize
from sr3.sampling.consistency import match_low_frequencies
from sr3.sampling.plan import Sampling, as_plan
from sr3.sampling.upscaler import Preview, Upscaler
from sr3.types import Image, LowRes
from sr3.upscaling.sizing import Enlargement

__all__ = ["previews_of"]


def previews_of(
    upscaler: Upscaler, low_res: LowRes, plan: Enlargement, *, sampling: Sampling, seeds: Sequence[int]
) -> Iterator[Preview]:
    """Refine as `Upscaler.previews` does, in as many passes as the plan has; the last guess has the size of the plan.

    The first pass begins with the enlarged input and noise; later ones show their steps only, in the sizes they have.
    """
    low_res = upscaler.cleaned(low_res).images
    upscaler, picture, first = replace(upscaler, restoration=0.0), low_res, as_plan(sampling)
    for number in range(plan.passes):
        own = seeds if number == 0 else [mix_seed(seed, number) for seed in seeds]
        way = first.of_pass(number)
        for step, preview in numbered(upscaler.previews(picture, sampling=way, seeds=own), start=0):
            if step == way.steps and number == plan.passes - 1 and not plan.is_plain:
                yield Preview(_fitted(preview.guess, low_res, plan, first.settings), preview.state)
            elif step or number == 0:
                yield preview
            picture = preview.guess if step == way.steps else picture
            del preview


def _fitted(image: Image, low_res: LowRes, plan: Enlargement, sampling: SamplingConfig) -> Image:
    """Reduce an image to the size of the plan, and let it give the input again when it is shrunk."""
    if plan.target != plan.largest:
        parts = [resize(one, plan.target_height, plan.target_width) for one in image.split(1, dim=1)]  # saves memory
        image = torch.cat(parts, dim=1).clamp_(-1, 1)
        del parts
    if not sampling.correct:
        return image
    return match_low_frequencies(image, low_res.to(image), cell=sampling.correct_cell)
