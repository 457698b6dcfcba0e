"""Unconditional diffusion models: the first stage of the paper's cascades.

Images are tensors in [-1, 1]; files are not known here.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.build import Network
from sr3.checkpoint import ModelFile, ModelInfo
from sr3.diffusion.denoiser import ClassAndLevel, Denoise, Denoiser
from sr3.diffusion.guidance import guided
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import numbered
from sr3.errors import CheckpointError, ConfigError
from sr3.runtime.device import in_type, laid_out
from sr3.runtime.threads import check_not_forked
from sr3.sampling.filling import build_filled
from sr3.sampling.plan import Sampling, as_plan
from sr3.types import Condition, Gamma, Image

__all__ = ["PictureGenerator", "load_generator"]


@dataclass(frozen=True)
class PictureGenerator:
    """A trained generator, ready to sample."""

    info: ModelInfo
    denoiser: Denoiser[Network]
    device: torch.device
    dtype: torch.dtype

    @property
    def side(self) -> int:
        """Side of the generated images in pixels."""
        return self.info.config.data.crop

    @property
    def classes(self) -> int:
        """Number of classes; a label equal to this number means no class."""
        return self.info.config.network.classes

    def samples(self, labels: Sequence[int], *, sampling: Sampling, seeds: Sequence[int]) -> Iterator[Image]:
        """Refine step by step; yields the current guess of the images, the last one is the sample.

        labels: one class per image, `classes` for none; sampling: settings, or a plan (`sr3.sampling.plan`); seeds:
        one per image. Yields (b, c, s, s) in [-1, 1], float32.
        Raises ConfigError for a label out of range.
        """
        most = self.classes - (1 if self.classes and not self.info.config.data.class_dropout else 0)
        unknown = [label for label in labels if not 0 <= label <= most]
        if unknown:
            raise ConfigError(f"class {unknown[0]}: {self.info.name} has {self._range()}")
        check_not_forked()
        noise = NoiseSource(seeds)
        shape = (self.info.image_channels, self.side, self.side)
        y = noise.draw(shape).to(self.device)
        x = y[:, :0]
        class_labels, no_class = torch.tensor(labels), torch.full((len(labels),), self.classes)
        with_class, without = (self._denoise(x, label) for label in (class_labels, no_class))
        plan = as_plan(sampling)
        denoise = guided(with_class, without, plan.settings.guidance)
        denoise = self.denoiser.clipped(denoise, x) if plan.settings.clip else denoise
        for number, step in numbered(plan.walk(denoise, y, noise), start=1):
            final = number == plan.steps
            yield self.denoiser.decode(step.y if final else step.y0, x).clamp(-1, 1)

    def generate(self, labels: Sequence[int], *, sampling: Sampling, seeds: Sequence[int]) -> Image:
        """Draw one sample per label; arguments as for `samples`."""
        return deque(self.samples(labels, sampling=sampling, seeds=seeds), maxlen=1)[0]

    def _denoise(self, x: Condition, labels: Tensor) -> Denoise:
        bound = self.denoiser.bind(x, clip=False, conditioning=self._conditioning(labels))
        return in_type(bound, device=self.device, dtype=self.dtype)

    def _conditioning(self, labels: Tensor) -> ClassAndLevel | tuple[()]:
        clean: Gamma = torch.ones(len(labels), dtype=torch.float64)
        return ClassAndLevel(labels, clean) if self.classes else ()

    def _range(self) -> str:
        return f"the classes 0 to {self.classes - 1}" if self.classes else "no classes"


def load_generator(model: ModelFile, *, device: torch.device, dtype: torch.dtype) -> PictureGenerator:
    """Build the network of a model file and fill it; CheckpointError when it is not a generator's."""
    if model.info.config.network.condition != "none":
        raise CheckpointError(
            f"{model.info.name}: enlarges images; give a generator as the first model of `sr3 generate`"
        )
    return PictureGenerator(model.info, laid_out(build_filled(model, device), dtype), device, dtype)
