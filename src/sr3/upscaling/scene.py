"""Upscaling of scenes too large for memory: windows with a margin, blended where they meet.

Noise belongs to places of the scene, so neighbouring windows draw the same sample up to what the network sees beyond a
border. Only a strip of a few rows is kept between windows. Knows no rasterio.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from math import ceil, lcm
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr3.diffusion.noise import mix_seed
from sr3.errors import ImageError
from sr3.images.alpha import fill_transparent
from sr3.images.scenes import SCENE_SUFFIXES, Scene, SceneWriter, open_scene, written_scene
from sr3.sampling.placed_noise import PlacedNoise
from sr3.sampling.upscaler import Upscaler
from sr3.upscaling.drawing import Request, Taken, Written
from sr3.upscaling.naming import Job
from sr3.upscaling.scene_range import Range, scene_range

__all__ = ["BLEND", "draw_scene", "scene_layout"]

BLEND = 64
"""Pixels of the result over which a window hands over to the next."""

_MARGIN = 64  # pixels of the result beyond what is used, where the network sees the cut
_BLOCK = 256
_KINDS = ("same", "float32")  # of mean and deviation
_SAMPLED = 4  # rows and columns of windows where the strength of cleaning is measured


Writers: TypeAlias = Sequence[SceneWriter | None]
"""None for what is there already."""


class Layout(NamedTuple):
    """How a scene is cut, in pixels of the input: steps between windows, what they share, and their margin."""

    step: int
    blend: int
    margin: int

    @property
    def largest(self) -> int:
        """Side of the largest window."""
        return self.step + self.blend + 2 * self.margin


def scene_layout(upscaler: Upscaler, tile: int) -> Layout:
    """Cut for windows of about `tile` pixels of the result; each step ends at a block of the file."""
    multiple, scale = lcm(upscaler.scale, upscaler.denoiser.network.size_multiple), upscaler.scale
    blend, margin = (ceil(pixels / multiple) * multiple for pixels in (BLEND, _MARGIN))
    unit = lcm(_BLOCK, multiple)
    step = max(1, (tile - blend - 2 * margin) // unit) * unit
    return Layout(step // scale, blend // scale, margin // scale)


def draw_scene(upscaler: Upscaler, job: Job, request: Request) -> Iterator[Taken | Written]:
    """Draw and write a scene window by window; yields every window, and last the files that were written."""
    for path in request.outputs.all_of(job.target):
        if path.suffix.lower() not in SCENE_SUFFIXES:
            raise ImageError(f"{path}: a scene is written as GeoTIFF; name a .tif")
    if not request.sizing.is_own:
        raise ImageError(f"{job.source}: a scene is enlarged by the model's own x{upscaler.scale}; leave the size out")
    with open_scene(job.source) as scene, ExitStack() as files:
        _check_bands(scene, upscaler)
        layout = scene_layout(upscaler, 1024 if request.tile == "auto" else request.tile)
        used = scene_range(scene, request.values)
        whole = replace(
            _with_one_strength(upscaler, scene, used), tile=max(upscaler.tile, layout.largest * upscaler.scale)
        )
        wanted = [path for path in request.outputs.all_of(job.target) if request.wants(path)]
        summaries = request.outputs.summaries_of(job.target)
        samples = {
            number: path
            for number, path in enumerate(request.outputs.samples_of(job.target))
            if path in wanted or any(summary in wanted for summary in summaries)
        }
        drawing = _Drawing(whole, scene, request, layout, used, list(samples))
        writers = {
            path: files.enter_context(written_scene(path, scene, upscaler.scale, kind=kind))
            for path, kind in [*((path, "same") for path in samples.values()), *zip(summaries, _KINDS, strict=False)]
            if path in wanted
        }
        own = [writers.get(path) for path in samples.values()]
        yield from drawing.write(own, [writers.get(path) for path in summaries])
    yield Written(tuple(wanted), strength=whole.restoration)


def _check_bands(scene: Scene, upscaler: Upscaler) -> None:
    channels = upscaler.info.image_channels
    if channels not in (1, scene.bands) and (channels, scene.bands) != (3, 1):
        raise ImageError(
            f"{scene.path}: has {scene.bands} bands, and {upscaler.info.name} takes {channels}; "
            "choose bands with gdal_translate -b, or a model of 1 band, which takes each by itself"
        )


def _with_one_strength(upscaler: Upscaler, scene: Scene, used: Range) -> Upscaler:
    """Decide how strongly a scene is cleaned, if the model does so, once: its windows are to fit together."""
    if upscaler.restoration is not None or not upscaler.cleans:
        return upscaler
    sides = scene.dataset.height, scene.dataset.width
    high, wide = (min(_BLOCK, side) for side in sides)
    found: list[Tensor] = []
    for row, column in product(range(_SAMPLED), repeat=2):
        top, left = (
            (side - window) * number // (_SAMPLED - 1)
            for side, window, number in zip(sides, (high, wide), (row, column), strict=True)
        )
        values, valid = scene.read(top, left, high, wide)
        if valid.any():
            low_res = _for_model(_filled(used.stretch(values), valid), upscaler)
            found.append(upscaler.cleaned(low_res).strengths.mean())
    return replace(upscaler, restoration=float(torch.stack(found).mean()) if found else 1.0)


def _for_model(low_res: Tensor, upscaler: Upscaler) -> Tensor:
    """Make a batch of the bands of a window (bands, h, w), each by itself where the model has another number."""
    channels = upscaler.info.image_channels
    return low_res[None] if channels == len(low_res) else low_res[:, None].expand(-1, channels, -1, -1)


class _Drawing:
    """Draws a scene; holds what neighbouring windows still have to blend."""

    def __init__(
        self, upscaler: Upscaler, scene: Scene, request: Request, layout: Layout, used: Range, numbers: list[int]
    ) -> None:
        """Draw the samples of these numbers, from 0."""
        self._upscaler, self._scene, self._request, self._layout, self._used = upscaler, scene, request, layout, used
        self._numbers, rows = numbers, layout.blend * upscaler.scale
        self._below = torch.zeros(len(numbers), scene.bands, rows, scene.dataset.width * upscaler.scale)
        self._right: list[Tensor | None] = [None] * len(numbers)

    def write(self, writers: Writers, summaries: Writers) -> Iterator[Taken]:
        """Write all windows, row by row; of the samples, and of their mean and deviation."""
        height, width = self._scene.dataset.height, self._scene.dataset.width
        places = [(t, lf) for t in range(0, height, self._layout.step) for lf in range(0, width, self._layout.step)]
        scale = self._upscaler.scale
        for number, (top, left) in enumerate(places, start=1):
            found = [self._used.put_back(part.double().numpy()) for part in self._window(top, left)]
            high, wide = found[0].shape[1] // scale, found[0].shape[2] // scale
            _, valid = self._scene.read(top, left, high, wide)
            valid = valid.repeat(scale, 1).repeat(scale, 2)
            if any(summaries):
                found += [np.mean(found, 0), np.std(found, 0, ddof=1)]
            for writer, values in zip([*writers, *summaries], found, strict=False):
                if writer is not None:
                    writer.write(top * scale, left * scale, values, valid)
            yield Taken(number, len(places))

    def _window(self, top: int, left: int) -> list[Tensor]:
        """Draw each sample of the window at a place, blended with those before it: (bands, h, w) in [-1, 1]."""
        layout, scale = self._layout, self._upscaler.scale
        sides = self._scene.dataset.height, self._scene.dataset.width
        starts = [max(0, place - layout.margin) for place in (top, left)]
        ends = [min(s, p + layout.step + layout.blend + layout.margin) for s, p in zip(sides, (top, left), strict=True)]
        values, valid = self._scene.read(starts[0], starts[1], ends[0] - starts[0], ends[1] - starts[1])
        low_res = _filled(self._used.stretch(values), valid)
        down, across = ((place - start) * scale for place, start in zip((top, left), starts, strict=True))
        used = (layout.step + layout.blend) * scale
        found: list[Tensor] = []
        for k, number in enumerate(self._numbers):
            image = (
                self._sample(low_res, number, starts)
                if valid.any()
                else torch.zeros(1).expand(len(low_res), *(side * scale for side in low_res.shape[1:]))
            )
            image = image[:, down : down + used, across : across + used].clone()
            found.append(self._blended(image, k, top, left * scale))
        return found

    def _sample(self, low_res: Tensor, number: int, starts: list[int]) -> Tensor:
        """Draw a sample of a window, (bands, h, w)."""
        batch = _for_model(low_res, self._upscaler)
        seeds = [mix_seed(self._request.seed, number)] * len(batch)
        noise = PlacedNoise(seeds, top=starts[0], left=starts[1], height=low_res.shape[1])
        image = self._upscaler.upscale(batch, sampling=self._request.sampling.of_pass(0), seeds=noise).cpu()
        return image[0] if self._upscaler.info.image_channels == len(low_res) else image.mean(1)

    def _blended(self, image: Tensor, k: int, top: int, left: int) -> Tensor:
        """Blend with what the windows on the left and above left over, keep the same for the next, and cut it off."""
        step, blend = (side * self._upscaler.scale for side in (self._layout.step, self._layout.blend))
        ramp = torch.sin((torch.arange(blend) + 0.5) / blend * torch.pi / 2) ** 2
        if left > 0 and (before := self._right[k]) is not None:
            wide = min(blend, image.shape[2])
            image[..., :wide] = before[..., :wide].lerp(image[..., :wide], ramp[:wide])
        self._right[k] = image[..., step:].clone()
        image = image[..., :step]
        place = self._below[k, :, :, left : left + image.shape[2]]
        if top > 0:
            high = min(blend, image.shape[1])
            image[:, :high] = place[:, :high].lerp(image[:, :high], ramp[:high, None])
        rest = image[:, step:]
        place[:, : rest.shape[1]] = rest
        return image[:, :step]


def _filled(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> Tensor:
    """Continue the data of each band smoothly where it has none."""
    pixels, seen = torch.from_numpy(values).float(), torch.from_numpy(valid)
    if valid.all():
        return pixels
    filled: list[Any] = [
        fill_transparent(p[None].nan_to_num(0, 0, 0), s[None].float())[0] for p, s in zip(pixels, seen, strict=True)
    ]
    return torch.stack(filled)
