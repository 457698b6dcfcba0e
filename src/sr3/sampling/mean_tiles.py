"""What the small networks of a model compute of an image, its mean or the cleaned input: windows with full context."""

from collections.abc import Callable, Iterator

import torch

from sr3.diffusion.denoiser import Denoiser
from sr3.images.flatness import REACH as FLATNESS_REACH
from sr3.images.flatness import flatness
from sr3.networks.span import SPAN, Mean
from sr3.sampling.tiling import Window
from sr3.types import Image, LowRes

__all__ = ["FLAT_DEVIATION", "calm_flat_places", "mean_in", "picture_of", "restored"]

FLAT_DEVIATION = 2.5
"""Deviation of the mean around a pixel, in levels of 255, at which it counts as a quarter flat."""

_SIDE = 128
"""Side in pixels of the input of what is computed at once."""


@torch.no_grad()
def mean_in(network: SPAN, low_res: LowRes, window: Window) -> Mean:
    """Compute the mean in a window, in pixels of low_res (b, c, h, w), as if it were taken whole."""
    around, inside = _with_context(window, network.reach)
    parts, scale = [network.mean(image) for image in _parts(around.of(low_res))], network.scale
    picture, features = (torch.cat(of_all) for of_all in zip(*parts, strict=True))
    return Mean(_enlarged(inside, scale).of(picture), inside.of(features))


def picture_of(network: SPAN, low_res: LowRes) -> Image:
    """Enlarge low_res (b, c, h, w) in [-1, 1], keeping no features."""
    b, c, height, width = low_res.shape
    scale = network.scale
    whole = low_res.new_empty(b, c, height * scale, width * scale)
    for window in _covering(height, width):
        _enlarged(window, scale).of(whole).copy_(mean_in(network, low_res, window).picture)
    return whole


@torch.no_grad()
def restored(restoration: Denoiser[SPAN], low_res: LowRes, *, strength: float) -> LowRes:
    """Clean an input (b, c, h, w) in [-1, 1] by a regression of family `span` at scale 1.

    strength: factor of what it changes; the result is held in [-1, 1].
    """
    cleaned = torch.empty_like(low_res)
    for window in _covering(*low_res.shape[-2:]):
        around, inside = _with_context(window, restoration.network.reach)
        seen = around.of(low_res)
        answer = torch.cat([restoration.network.answer(image) for image in _parts(seen)])
        found = inside.of(restoration.decode(answer, seen).clamp_(-1, 1))
        if strength != 1:
            found = window.of(low_res).lerp(found, strength).clamp_(-1, 1)
        window.of(cleaned).copy_(found)
    return cleaned


def calm_flat_places(image: Image, mean_of: Callable[[Window], Mean], *, scale: int, kept: float) -> None:
    """Bring a sample (b, c, h, w) nearer to the mean where the mean is flat, in place; both in [-1, 1].

    mean_of: gives the mean in a window of the sample that is aligned to `scale` pixels. kept: share of the difference
    to the mean that is left where the mean is quite flat; elsewhere more is, by `flatness` at `FLAT_DEVIATION`.
    """
    height, width = (side // scale for side in image.shape[-2:])
    margin = -(-FLATNESS_REACH // scale)
    for window in _covering(height, width):
        up, back = min(window.top, margin), min(window.left, margin)
        down, on = (
            min(rest, margin) for rest in (height - window.top - window.height, width - window.left - window.width)
        )
        around = Window(window.top - up, window.left - back, window.height + up + down, window.width + back + on)
        whole_mean = mean_of(_enlarged(around, scale)).picture
        inside = _enlarged(Window(up, back, window.height, window.width), scale)
        mean, flat = (inside.of(part) for part in (whole_mean, flatness(whole_mean, deviation=FLAT_DEVIATION)))
        part = _enlarged(window, scale).of(image)
        part.copy_(mean + (part - mean) * (1 - (1 - kept) * flat))


def _parts(images: LowRes) -> tuple[LowRes, ...]:
    """Split a batch on a processor into its images, so that the bits of one do not depend on what else is drawn."""
    return images.split(1) if images.device.type == "cpu" else (images,)


def _covering(height: int, width: int) -> Iterator[Window]:
    for top in range(0, height, _SIDE):
        for left in range(0, width, _SIDE):
            yield Window(top, left, min(_SIDE, height - top), min(_SIDE, width - left))


def _with_context(window: Window, reach: int) -> tuple[Window, Window]:
    """Widen a window by what its pixels depend on, as far as there is an image; and its own place in the wider one."""
    up, back = min(window.top, reach), min(window.left, reach)
    wider = Window(window.top - up, window.left - back, window.height + up + reach, window.width + back + reach)
    return wider, Window(up, back, window.height, window.width)


def _enlarged(window: Window, scale: int) -> Window:
    return Window(*(place * scale for place in window))
