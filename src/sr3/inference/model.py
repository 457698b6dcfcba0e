"""The package as a library: a model that takes and gives pictures as programs hold them.

    model = sr3.load("photos-x4")
    large = model.upscale(picture)

A model may be used by several threads at once: a call shares nothing with another but the weights, which do not change.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, overload

import torch
from torch import Tensor

from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.diffusion.samplers import numbered
from sr3.errors import Cancelled, ConfigError, ImageError
from sr3.images.alpha import fill_transparent
from sr3.images.in_memory import Kind, Unpacked, unpack
from sr3.images.resize import upsample
from sr3.inference.memory import BYTES_PER_PIXEL, bytes_of, bytes_of_other_bands, check_fits, choose_tile
from sr3.inference.upscaler import Upscaler, open_upscaler, sampling_for
from sr3.inference.value_range import find_range, warn_of_narrow
from sr3.zoo import DEFAULT_MODEL

__all__ = ["Model", "Refinement", "load"]

_COLOURS = 3
Values = tuple[float, float] | Literal["auto"] | None
"""The numbers that a picture uses: (low, high), found by themselves, or all there are."""


@dataclass(frozen=True)
class Refinement(Generic[Kind]):
    """A step of a sample has been taken: which, of how many, and the picture as it is guessed after it."""

    step: int
    steps: int
    image: Kind

    @property
    def is_last(self) -> bool:
        """Whether the picture is the sample."""
        return self.step == self.steps


@dataclass(frozen=True)
class Model:
    """A trained model that enlarges Pillow images, NumPy arrays and torch tensors.

    What goes in comes out: the same kind, type, range and layout (see `sr3.images.in_memory`), `scale` times as high
    and wide. Colour under full transparency is filled first, and transparency is enlarged without the network.
    Pictures are upright afterwards, as their EXIF says. tile: largest side of a window in pixels of the result.
    """

    upscaler: Upscaler
    tile: int | Literal["auto"] = "auto"

    def __repr__(self) -> str:
        """Say in one line what it is."""
        sampling = self.upscaler.info.config.sampling
        return (
            f"<sr3 model {self.name}: x{self.scale}, {self.channels} channels, {sampling.sampler} in {sampling.steps} "
            f"steps, on {self.upscaler.device}>"
        )

    @property
    def name(self) -> str:
        """What the model calls itself."""
        return self.upscaler.info.name

    @property
    def scale(self) -> int:
        """Magnification."""
        return self.upscaler.scale

    @property
    def channels(self) -> int:
        """Channels of the pictures it was trained on; a model of 1 or 3 also takes pictures of 3 or 1.

        A model of 3 also takes either with alpha. To any other, what an array or tensor has are bands.
        """
        return self.upscaler.info.image_channels

    @overload
    def upscale(
        self,
        image: Kind,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        detail: float | None = None,
        samples: None = None,
        seed: int = 0,
        values: Values = None,
        stop: threading.Event | None = None,
    ) -> Kind: ...

    @overload
    def upscale(
        self,
        image: Kind,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        detail: float | None = None,
        samples: int,
        seed: int = 0,
        values: Values = None,
        stop: threading.Event | None = None,
    ) -> list[Kind]: ...

    def upscale(
        self,
        image: Kind,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        detail: float | None = None,
        samples: int | None = None,
        seed: int = 0,
        values: Values = None,
        stop: threading.Event | None = None,
    ) -> Kind | list[Kind]:
        """Draw a large picture; with `samples` a list of that many different ones.

        steps, sampler, detail: None for the model's own; detail goes from 0, near the mean of all pictures that fit, to
        1, a sample. seed: the same gives the same, and what `sr3 upscale --seed` gives. values: the numbers that the
        picture uses, (low, high) in its own, or "auto", as `sr3 upscale --range`.
        stop: once set, by any thread, the call ends with Cancelled after the step under way.
        Raises ImageError for a picture that cannot be taken, ConfigError for settings that do not fit.
        """
        sampling = sampling_for(self.upscaler.info, steps=steps, sampler=sampler, detail=detail)
        if samples is not None and samples < 1:
            raise ConfigError(f"samples = {samples}: ask for at least 1")
        work = _Work(self, self._unpack(image), sampling, values)
        drawn = [work.last(mix_seed(seed, number), stop) for number in range(samples or 1)]
        return drawn[0] if samples is None else drawn

    def refine(
        self,
        image: Kind,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        detail: float | None = None,
        seed: int = 0,
        stop: threading.Event | None = None,
    ) -> Iterator[Refinement[Kind]]:
        """Draw one sample step by step; the last picture is what `upscale` gives for the same arguments.

        Leaving the loop, or closing the iterator, ends the work. Arguments and errors as for `upscale`; what is wrong
        with them is raised at once, not at the first step.
        """
        sampling = sampling_for(self.upscaler.info, steps=steps, sampler=sampler, detail=detail)
        return _Work(self, self._unpack(image), sampling, None).refinements(mix_seed(seed, 0), stop)

    def _unpack(self, image: Kind) -> Unpacked[Kind]:
        """Lay a picture out; a model of colour takes alpha where others have bands."""
        return unpack(image, takes_alpha=self.channels == _COLOURS)


def load(
    model: str = DEFAULT_MODEL, *, device: str = "auto", dtype: str = "auto", tile: int | Literal["auto"] = "auto"
) -> Model:
    """Find a model by name, path or run folder and make it ready.

    device: auto, cpu, cuda or mps. dtype: auto, float32 or bfloat16. tile: largest window in pixels of the result, auto
    by the memory that is free when a picture comes, as `sr3 upscale` does.
    Raises CheckpointError when there is no such model, ConfigError for a device or type that is not there.
    """
    return Model(open_upscaler(model, device=device, dtype=dtype, tile=1024 if tile == "auto" else tile), tile)


class _Work(Generic[Kind]):
    """One picture at one model."""

    def __init__(self, model: Model, unpacked: Unpacked[Kind], sampling: SamplingConfig, values: Values) -> None:
        upscaler, pixels, self._alpha = model.upscaler, unpacked.pixels, unpacked.alpha
        self._used = None if values is None else find_range(values, pixels, unpacked.numbers, "the picture")
        if self._used is not None:
            pixels = self._used.stretch(pixels)
        else:
            warn_of_narrow(pixels, unpacked.numbers, "the picture", 'values="auto"')
        count, channels, height, width = pixels.shape
        needed = count * (bytes_of(sampling) + bytes_of_other_bands(channels))
        check_fits(Path("the picture"), width, height, upscaler.scale, extra=needed - BYTES_PER_PIXEL)
        if model.tile == "auto":
            upscaler = replace(upscaler, tile=choose_tile(upscaler, width * upscaler.scale, height * upscaler.scale))
        if self._alpha is not None:
            filled = [fill_transparent(*one) for one in zip(pixels, self._alpha, strict=True)]
            pixels = torch.stack(filled)
        self._upscaler, self._pack, self._sampling = upscaler, unpacked.pack, sampling
        self._low_res, self._back = _in_channels(pixels, upscaler.info.image_channels, upscaler.info.name)

    def refinements(self, seed: int, stop: threading.Event | None) -> Iterator[Refinement[Kind]]:
        for step, image in numbered(self._steps(seed, stop), start=1):
            yield Refinement(step, self._sampling.steps, self._packed(image))
            del image

    def last(self, seed: int, stop: threading.Event | None) -> Kind:
        return self._packed(deque(self._steps(seed, stop), maxlen=1)[0])

    def _steps(self, seed: int, stop: threading.Event | None) -> Iterator[Tensor]:
        self._check(stop, 0)
        seeds = [seed] * len(self._low_res)
        steps = self._upscaler.samples(self._low_res, sampling=self._sampling, seeds=seeds)
        for step, image in numbered(steps, start=1):
            yield image
            del image
            self._check(stop, step)

    def _check(self, stop: threading.Event | None, step: int) -> None:
        steps = self._sampling.steps
        if stop is not None and stop.is_set() and step < steps:
            raise Cancelled(f"upscaling was stopped after step {step} of {steps}")

    def _packed(self, image: Tensor) -> Kind:
        scale = self._upscaler.scale
        alpha = None if self._alpha is None else upsample(self._alpha, scale).clamp(0, 1)
        pixels = self._back(image.cpu())
        return self._pack(pixels if self._used is None else self._used.put_back(pixels), alpha, scale)


def _in_channels(pixels: Tensor, wanted: int, name: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Lay (b, c, h, w) out in the model's channels, and say how to lay its answer back.

    Grey is repeated for a colour model and the mean of the answers is taken; the channels of a picture are a batch for
    a grey model.
    """
    found = pixels.shape[1]
    if found == wanted:
        return pixels, lambda image: image
    if found == 1:
        return pixels.expand(-1, wanted, -1, -1), lambda image: image.mean(1, keepdim=True)
    if wanted == 1:
        return pixels.flatten(0, 1)[:, None], lambda image: image[:, 0].unflatten(0, (-1, found))
    raise ImageError(f"the picture has {found} channels, but {name} takes {wanted}; use another model")
