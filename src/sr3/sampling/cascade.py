"""Cascades: a small generated image, enlarged stage by stage (SR3, arXiv:2104.07636, section 4.4).

Every stage has its own sampling, with more steps where images are small, as in the paper.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from sr3.checkpoint import read_model
from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError
from sr3.runtime.device import choose_device, choose_dtype
from sr3.sampling.generator import PictureGenerator, load_generator
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import Upscaler, load_upscaler
from sr3.types import Image
from sr3.zoo import find_model

__all__ = ["Cascade", "Drawn", "open_cascade"]


class Drawn(NamedTuple):
    """A step of a stage has been taken: which of all, how many there are, the images so far."""

    done: int
    total: int
    stage: int
    image: Image


@dataclass(frozen=True)
class Cascade:
    """A generator and the models that enlarge what it makes, each with its way of sampling."""

    generator: PictureGenerator
    upscalers: tuple[Upscaler, ...]
    sampling: tuple[SamplingConfig, ...]

    @property
    def sides(self) -> tuple[int, ...]:
        """Pixels a side after each stage."""
        sides = [self.generator.side]
        for upscaler in self.upscalers:
            sides.append(sides[-1] * upscaler.scale)
        return tuple(sides)

    def samples(self, labels: Sequence[int], *, seeds: Sequence[int]) -> Iterator[Drawn]:
        """Draw images through all stages; the last image of each stage is its sample.

        labels and seeds: as for `PictureGenerator.samples`; the noise of every stage follows from the seeds.
        """
        total, own = sum(sampling.steps for sampling in self.sampling), [mix_seed(seed, 0) for seed in seeds]
        done, image = 0, torch.zeros(0)
        for image in self.generator.samples(labels, sampling=self.sampling[0], seeds=own):
            done += 1
            yield Drawn(done, total, 0, image)
        for stage, enlarged in self._enlargements(image, seeds):
            done += 1
            yield Drawn(done, total, stage, enlarged)

    def enlarge(self, image: Image, *, seeds: Sequence[int]) -> Image:
        """Enlarge images of the generator's size, (b, c, s, s) in [-1, 1], by all further stages.

        seeds: one per image, as for `samples`.
        """
        last = deque(self._enlargements(image, seeds), maxlen=1)
        return last[0][1] if last else image

    def _enlargements(self, image: Image, seeds: Sequence[int]) -> Iterator[tuple[int, Image]]:
        """Sample the stages that upscale; yields the stage and its images so far."""
        for stage, upscaler in enumerate(self.upscalers, start=1):
            own = [mix_seed(seed, stage) for seed in seeds]
            steps = upscaler.samples(image, sampling=self.sampling[stage], seeds=own)
            for image in steps:
                yield stage, image


def open_cascade(
    models: Sequence[str],
    *,
    steps: Sequence[int] = (),
    guidance: float | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Cascade:
    """Find the models, the generator first, and make them ready; ConfigError when they do not fit each other.

    steps: refinement steps of each stage; empty for the models' own. guidance: of the generator; None for its own.
    """
    if steps and len(steps) != len(models):
        raise ConfigError(f"{len(models)} models, but {len(steps)} numbers of steps; give one per model")
    place = choose_device(device)
    kind = choose_dtype(dtype, place)
    files = [read_model(find_model(model)) for model in models]
    generator = load_generator(files[0], device=place, dtype=kind)
    upscalers = tuple(load_upscaler(file, device=place, dtype=kind) for file in files[1:])
    for upscaler in upscalers:
        if upscaler.info.image_channels != generator.info.image_channels:
            raise ConfigError(
                f"{upscaler.info.name}: takes images of {upscaler.info.image_channels} channels, but "
                f"{generator.info.name} makes {generator.info.image_channels}; choose models with the same channels"
            )
    each = steps or [None] * len(models)
    weights = [guidance, *[None] * len(upscalers)]
    sampling = [
        sampling_for(file.info, steps=count, guidance=weight)
        for file, count, weight in zip(files, each, weights, strict=True)
    ]
    return Cascade(generator, upscalers, tuple(sampling))
