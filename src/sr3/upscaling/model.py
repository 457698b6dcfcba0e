"""The library interface: a model that takes and returns Pillow images, arrays and tensors.

    model = sr3.load("photos-x4")
    large = model.upscale(image)

A model may be used by several threads at once: a call shares nothing with another but the weights, which do not change.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, overload

from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, ImageError
from sr3.images.in_memory import Kind, Unpacked, unpack
from sr3.sampling.plan import GridChoice, SamplerChoice, plan_for
from sr3.sampling.upscaler import Upscaler, open_upscaler
from sr3.upscaling.drawing import Request
from sr3.upscaling.jobs import Failed, Refined, Skipped, upscale_files
from sr3.upscaling.jpeg_quality import Strength, check_strength, with_strength
from sr3.upscaling.naming import ONE_SAMPLE, Naming, plan_jobs
from sr3.upscaling.sizing import Sizing
from sr3.upscaling.value_range import Values
from sr3.upscaling.work import Refinement, Work
from sr3.zoo import DEFAULT_MODEL

__all__ = ["Model", "Refinement", "load"]

_COLOURS = 3
Progress = Callable[[int, int], None]
"""Called with the number of steps taken and the total."""


@dataclass(frozen=True)
class Model:
    """A trained model that enlarges Pillow images, NumPy arrays and torch tensors.

    The result has the kind, type, value range and layout of the input (see `sr3.images.in_memory`) and is `scale` times
    as high and wide. Colours under full transparency are filled in first, and the alpha channel is enlarged without the
    network. The EXIF orientation is applied. tile: largest side of a tile, in pixels of the result.
    restoration: strength of the restoration network, if the model has one, see `load`.
    """

    upscaler: Upscaler
    tile: int | Literal["auto"] = "auto"
    restoration: Strength = "auto"

    def __repr__(self) -> str:
        """Describe the model in one line."""
        sampling = self.upscaler.info.config.sampling
        return (
            f"<sr3 model {self.name}: x{self.scale}, {self.channels} channels, {sampling.sampler} in {sampling.steps} "
            f"steps, on {self.upscaler.device}>"
        )

    @property
    def name(self) -> str:
        """Name of the model, from its file."""
        return self.upscaler.info.name

    @property
    def scale(self) -> int:
        """Magnification."""
        return self.upscaler.scale

    @property
    def channels(self) -> int:
        """Number of channels of its training images; models with 1 or 3 channels each take both grey and RGB images.

        A model with 3 channels also takes an alpha channel. For others, all channels of an array or tensor are bands.
        """
        return self.upscaler.info.image_channels

    @overload
    def upscale(
        self,
        image: Kind,
        *,
        scale: float | None = None,
        steps: int | None = None,
        sampler: SamplerChoice | None = None,
        grid: GridChoice | None = None,
        eta: float | None = None,
        detail: float | None = None,
        samples: None = None,
        seed: int = 0,
        values: Values = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> Kind: ...

    @overload
    def upscale(
        self,
        image: Kind,
        *,
        scale: float | None = None,
        steps: int | None = None,
        sampler: SamplerChoice | None = None,
        grid: GridChoice | None = None,
        eta: float | None = None,
        detail: float | None = None,
        samples: int,
        seed: int = 0,
        values: Values = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> list[Kind]: ...

    def upscale(
        self,
        image: Kind,
        *,
        scale: float | None = None,
        steps: int | None = None,
        sampler: SamplerChoice | None = None,
        grid: GridChoice | None = None,
        eta: float | None = None,
        detail: float | None = None,
        samples: int | None = None,
        seed: int = 0,
        values: Values = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> Kind | list[Kind]:
        """Enlarge an image by drawing a sample; with `samples`, return a list of that many different samples.

        scale: scale factor, None for the model's own; a smaller one downscales the model's result, a larger one takes
        several passes. steps, sampler, grid, eta, detail: None for the model's own. sampler: a name, or a function as
        described in `sr3.diffusion.samplers`; a plain function is assumed to need as much memory as the most expensive
        sampler. grid: the name of a family, or gammas that rise to 1, which also set the number of steps. eta: noise of
        ddim and dpmpp-2m, from 0 to 1. detail: from 0, close to the posterior mean, to 1, a full sample. seed: equal
        seeds give equal results, the same as `sr3 upscale --seed`. values: value range of the image, (low, high) in its
        own numbers, or "auto", as `sr3 upscale --range`.
        progress: called after each step with the number of steps taken and the total.
        stop: once it is set, by any thread, the call raises Cancelled after the current step.
        Raises ImageError for an image that cannot be used, ConfigError for settings that do not fit the model, and
        GridError for a grid that cannot lead from noise to an image.
        """
        sampling = plan_for(self.upscaler.info, steps=steps, sampler=sampler, grid=grid, eta=eta, detail=detail)
        if samples is not None and samples < 1:
            raise ConfigError(f"samples = {samples}: ask for at least 1")
        work, count = (
            Work(self._upscaler_for(image), self.tile, self._unpack(image), sampling, values, scale),
            samples or 1,
        )
        drawn, each = list[Kind](), work.steps
        for number in range(count):
            report = None if progress is None else partial(_add, progress, number * each, count * each)
            drawn.append(work.last(mix_seed(seed, number), stop, report))
        return drawn[0] if samples is None else drawn

    def upscale_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str] | None = None,
        *,
        scale: float | None = None,
        steps: int | None = None,
        sampler: SamplerChoice | None = None,
        grid: GridChoice | None = None,
        eta: float | None = None,
        detail: float | None = None,
        seed: int = 0,
        values: Values = None,
        quality: int = 95,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Enlarge an image file into a file, as `sr3 upscale` does; bit depth, metadata and format are kept.

        target: None for NAME-x4 beside the source. quality: 1 to 100, of lossy formats. overwrite: whether an
        existing target is replaced. Others as for `upscale`. Returns the path of the result.
        Raises ImageError when the source cannot be read, or the target cannot be written or exists already.
        """
        sampling = plan_for(self.upscaler.info, steps=steps, sampler=sampler, grid=grid, eta=eta, detail=detail)
        sizing = Sizing(scale=scale)
        naming = Naming(scale=self.scale, model=self.name, sizing=sizing)
        place = None if target is None else Path(target)
        [job] = plan_jobs([Path(source)], place, outputs=ONE_SAMPLE, naming=naming)
        request = Request(
            sampling,
            seed,
            overwrite=overwrite,
            quality=quality,
            tile=self.tile,
            values=values,
            sizing=sizing,
            restoration=self.restoration,
        )
        for event in upscale_files(self.upscaler, [job], request):
            match event:
                case Refined() if progress is not None:
                    progress(event.step, event.steps)
                case Failed():
                    raise ImageError(event.reason)
                case Skipped():
                    raise ImageError(f"{job.target}: exists; give overwrite=True, or another target")
                case _:
                    pass
        return job.target

    def refine(
        self,
        image: Kind,
        *,
        scale: float | None = None,
        steps: int | None = None,
        sampler: SamplerChoice | None = None,
        grid: GridChoice | None = None,
        eta: float | None = None,
        detail: float | None = None,
        sample: int = 0,
        seed: int = 0,
        values: Values = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Refinement[Kind]]:
        """Draw one sample step by step; the last image is what `upscale` gives for the same arguments.

        sample: index of the sample among those of `upscale(samples=...)`, from 0. Leaving the loop, or closing the
        iterator, ends the work. Other arguments and errors as for `upscale`; errors in arguments are raised at once,
        not at the first step.
        """
        if sample < 0:
            raise ConfigError(f"sample = {sample}: samples are numbered from 0")
        sampling = plan_for(self.upscaler.info, steps=steps, sampler=sampler, grid=grid, eta=eta, detail=detail)
        return Work(self._upscaler_for(image), self.tile, self._unpack(image), sampling, values, scale).refinements(
            mix_seed(seed, sample), stop
        )

    def _upscaler_for(self, image: object) -> Upscaler:
        return with_strength(self.upscaler, image, self.restoration)

    def _unpack(self, image: Kind) -> Unpacked[Kind]:
        """Lay an image out; a model of colour takes alpha where others have bands."""
        return unpack(image, takes_alpha=self.channels == _COLOURS)


def load(
    model: str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    tile: int | Literal["auto"] = "auto",
    restoration: Strength = "auto",
) -> Model:
    """Load a model, given by name, path, run folder or address on the Hugging Face Hub.

    model: such as "photos-x4", "mine.safetensors", "runs/mine", "hf:owner/name" or "hf:owner/name@revision"; the last
    two are downloaded into the Hub's cache, once (extra `hub`). device: auto, cpu, cuda or mps. dtype: auto, float32,
    bfloat16 or int8 (on a CPU). tile: largest side of a tile, in pixels of the result; auto chooses it for each image
    by the free memory, as `sr3 upscale` does. restoration: strength of the restoration network of models that have one,
    such as "photos-x4-web": 0 leaves the input unchanged, 1 is the strength in training, 2 the maximum; auto is by
    the quality of the JPEG file that a Pillow image was opened from, and as the model measures it in the image: for
    JPEG files where it finds clearly more damage. It has no effect on other models.
    Raises CheckpointError when there is no such model or it cannot be downloaded, ConfigError for a device or dtype
    that is not available.
    """
    upscaler = open_upscaler(model, device=device, dtype=dtype, tile=1024 if tile == "auto" else tile)
    return Model(upscaler, tile, check_strength(restoration))


def _add(progress: Progress, before: int, total: int, step: int) -> None:
    progress(before + step, total)
