"""One image in memory prepared for a model: converted to the model's channels, checked, and converted back."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal

import torch
from torch import Tensor

from sr3.diffusion.samplers import numbered
from sr3.errors import Cancelled, ImageError
from sr3.images.alpha import fill_transparent
from sr3.images.in_memory import Kind, Unpacked
from sr3.images.resize import resize
from sr3.sampling.plan import SamplingPlan
from sr3.sampling.upscaler import Upscaler
from sr3.upscaling.channels import check_channels
from sr3.upscaling.enlarging import previews_of
from sr3.upscaling.memory import BYTES_PER_PIXEL, bytes_of, bytes_of_other_bands, check_fits, choose_tile
from sr3.upscaling.sizing import Sizing, steps_of
from sr3.upscaling.value_range import Values, find_range, warn_of_narrow

__all__ = ["Refinement", "Work"]


@dataclass(frozen=True)
class Refinement(Generic[Kind]):
    """One sampling step: its number, the total, and the image predicted after it."""

    step: int
    steps: int
    image: Kind

    @property
    def is_last(self) -> bool:
        """Whether this was the last step, so that the image is the finished sample."""
        return self.step == self.steps


class Work(Generic[Kind]):
    """One image at one model."""

    def __init__(
        self,
        upscaler: Upscaler,
        tile: int | Literal["auto"],
        unpacked: Unpacked[Kind],
        sampling: SamplingPlan,
        values: Values,
        scale: float | None,
    ) -> None:
        """Prepare an image; ImageError when its result would not fit in memory."""
        pixels, self._alpha = unpacked.pixels, unpacked.alpha
        self._used = None if values is None else find_range(values, pixels, unpacked.numbers, "the image")
        if self._used is not None:
            pixels = self._used.stretch(pixels)
        else:
            warn_of_narrow(pixels, unpacked.numbers, "the image", 'values="auto"')
        count, channels, height, width = pixels.shape
        needed = count * (bytes_of(sampling.sampler.traits) + bytes_of_other_bands(channels))
        self._plan = plan = Sizing(scale=scale).plan(width, height, upscaler.scale, "the image")
        extra = needed - BYTES_PER_PIXEL
        check_fits(Path("the image"), width, height, plan.own**plan.passes, extra=extra)
        if tile == "auto":
            upscaler = replace(upscaler, tile=choose_tile(upscaler, *plan.largest))
        if self._alpha is not None:
            filled = [fill_transparent(*one) for one in zip(pixels, self._alpha, strict=True)]
            pixels = torch.stack(filled)
        self._upscaler, self._pack, self._sampling = upscaler, unpacked.pack, sampling
        self._total = steps_of(sampling, plan.passes)
        check_channels(upscaler.info)
        self._low_res, self._back = _in_channels(pixels, upscaler.info.image_channels, upscaler.info.name)

    @property
    def steps(self) -> int:
        """Steps of a sample, of all passes."""
        return self._total

    def refinements(self, seed: int, stop: threading.Event | None) -> Iterator[Refinement[Kind]]:
        """Draw a sample, and give the image after each step."""
        for step, image in numbered(self._steps(seed, stop), start=1):
            yield Refinement(step, self._total, self._packed(image))
            del image

    def last(self, seed: int, stop: threading.Event | None, progress: Callable[[int], None] | None) -> Kind:
        """Draw a sample."""
        final: Tensor | None = None
        for step, image in numbered(self._steps(seed, stop), start=1):
            final = image if step == self._total else None
            del image
            if progress is not None:
                progress(step)
        assert final is not None
        return self._packed(final)

    def _steps(self, seed: int, stop: threading.Event | None) -> Iterator[Tensor]:
        self._check(stop, 0)
        seeds = [seed] * len(self._low_res)
        previews = previews_of(self._upscaler, self._low_res, self._plan, sampling=self._sampling, seeds=seeds)
        for step, preview in numbered(previews, start=0):
            if step:
                yield preview.guess
                del preview
                self._check(stop, step)

    def _check(self, stop: threading.Event | None, step: int) -> None:
        steps = self._total
        if stop is not None and stop.is_set() and step < steps:
            raise Cancelled(f"upscaling was stopped after step {step} of {steps}")

    def _packed(self, image: Tensor) -> Kind:
        alpha = None if self._alpha is None else resize(self._alpha, *image.shape[-2:]).clamp(0, 1)
        pixels = self._back(image.cpu())
        return self._pack(pixels if self._used is None else self._used.put_back(pixels), alpha, self._plan.ratio)


def _in_channels(pixels: Tensor, expected: int, name: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Lay (b, c, h, w) out in the model's channels, and say how to lay its answer back.

    Grey is repeated for a colour model and the mean of the answers is taken; the channels of an image are a batch for
    a grey model.
    """
    found = pixels.shape[1]
    if found == expected:
        return pixels, lambda image: image
    if found == 1:
        return pixels.expand(-1, expected, -1, -1), lambda image: image.mean(1, keepdim=True)
    if expected == 1:
        return pixels.flatten(0, 1)[:, None], lambda image: image[:, 0].unflatten(0, (-1, found))
    raise ImageError(f"the image has {found} channels, but {name} takes {expected}; use another model")
