"""What the small networks of a model compute of an image, its mean or the cleaned input: windows with full context."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoiser
from sr3.images.flatness import REACH as FLATNESS_REACH
from sr3.images.flatness import flatness
from sr3.networks.span import SPAN, Mean
from sr3.networks.strength import StrengthNetwork
from sr3.sampling.tiling import Window
from sr3.types import Image, LowRes

__all__ = [
    "DOUBT",
    "ENOUGH",
    "FLAT_DEVIATION",
    "MOST_KEPT",
    "MOST_MEASURED",
    "Cleaned",
    "Measure",
    "WholeMean",
    "calm_flat_places",
    "mean_in",
    "measured_strength",
    "restored",
    "restored_as_measured",
]

FLAT_DEVIATION = 2.5
"""Deviation of the mean around a pixel, in levels of 255, at which it counts as a quarter flat."""

MOST_KEPT = 2048**2
"""Pixels of a mean up to which its features are kept; they take as much memory as a state."""

MOST_MEASURED = 1.5
"""The largest strength that is measured."""

DOUBT = 0.3
"""How much more than its file says an image must seem to need, about two deviations of what is measured."""

ENOUGH = 64**2
"""Pixels of an image that can be measured; a smaller one says too little."""

Measure = Callable[[LowRes, LowRes], Tensor]
"""Gives the strength (b,) for images, and for what cleaning at strength 1 makes of them, both (b, c, h, w)."""

_SIDE = 128
"""Side in pixels of the input of what is computed at once."""

_FLAT_SIDE = 512
"""Side in pixels of where flatness is looked for at once."""


@torch.no_grad()
def mean_in(network: SPAN, low_res: LowRes, window: Window) -> Mean:
    """Compute the mean in a window, in pixels of low_res (b, c, h, w), as if it were taken whole."""
    around, inside = _with_context(window, network.reach)
    parts, scale = [network.mean(image) for image in _parts(around.of(low_res))], network.scale
    picture, features = (torch.cat(of_all) for of_all in zip(*parts, strict=True))
    return Mean(_enlarged(inside, scale).of(picture), inside.of(features))


class WholeMean:
    """The mean of an image, and the features it is made from by windows.

    picture: the mean (b, c, s h, s w) in [-1, 1], for low_res (b, c, h, w). Features of a picture of more than
    `MOST_KEPT` pixels are computed again for each window, to save memory.
    """

    def __init__(self, network: SPAN, low_res: LowRes, *, at_once: int) -> None:
        """Compute the mean: a picture of at most at_once pixels a side whole, a larger one in windows."""
        b, _, height, width = low_res.shape
        self._network, self._low_res = network, low_res
        self._features: Tensor | None = None
        high, wide = height * network.scale, width * network.scale
        if max(high, wide) <= at_once:
            whole = mean_in(network, low_res, Window(0, 0, height, width))
            self.picture, self._features = whole.picture, whole.features
            return
        self.picture = low_res.new_empty(b, low_res.shape[1], high, wide)
        for window in _covering(height, width):
            picture, features = mean_in(network, low_res, window)
            _enlarged(window, network.scale).of(self.picture).copy_(picture)
            if high * wide <= MOST_KEPT:
                if self._features is None:
                    self._features = features.new_empty(b, features.shape[1], height, width)
                window.of(self._features).copy_(features)

    def features(self, window: Window) -> Tensor:
        """Return the features (b, width, h, w) in a window of the picture that is aligned to pixels of low_res."""
        small = Window(*(place // self._network.scale for place in window))
        if self._features is not None:
            return small.of(self._features)
        return mean_in(self._network, self._low_res, small).features


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


class Cleaned(NamedTuple):
    """Images (b, c, h, w) as a model sees them, and how strongly each was cleaned, (b,)."""

    images: LowRes
    strengths: Tensor


def restored_as_measured(restoration: Denoiser[SPAN], low_res: LowRes, measure: Measure) -> Cleaned:
    """Clean each image (b, c, h, w) in [-1, 1] by `restored` as strongly as measured; the result is held in [-1, 1]."""
    full = restored(restoration, low_res, strength=1.0)
    strengths = measure(low_res, full)
    return Cleaned(low_res.lerp(full, strengths[:, None, None, None]).clamp_(-1, 1), strengths)


@torch.no_grad()
def measured_strength(
    network: StrengthNetwork, low_res: LowRes, full: LowRes, *, stated: float | None = None
) -> Tensor:
    """Return how strongly each image (b, c, h, w) in [-1, 1] needs cleaning, (b,). full: cleaned at strength 1.

    stated: what the image's file says, which holds unless the image needs clearly more, by `DOUBT`. Of an image with
    fewer pixels than `ENOUGH` the strength is between what is measured and stated, or 1.
    """
    height, width = low_res.shape[-2:]
    traces = low_res.new_zeros(len(low_res), network.width)
    for window in _covering(height, width):
        pairs = zip(_parts(window.of(low_res)), _parts(window.of(full)), strict=True)
        share = window.height * window.width / (height * width)
        traces += share * torch.cat([network.traces(image, cleaned - image) for image, cleaned in pairs])
    found = torch.cat([network.strength(one) for one in _parts(traces)]).clamp_(0, MOST_MEASURED)
    found = torch.full_like(found, 1.0 if stated is None else stated).lerp(found, min(1.0, height * width / ENOUGH))
    return found if stated is None else (found - DOUBT).clamp_min_(stated)


def calm_flat_places(image: Image, mean: Image, *, kept: float) -> None:
    """Bring a sample (b, c, h, w) nearer to its mean (b, c, h, w) where that is flat, in place; both in [-1, 1].

    kept: share of the difference to the mean that is left where the mean is quite flat; elsewhere more is, by
    `flatness` at `FLAT_DEVIATION`.
    """
    for window in _covering(*image.shape[-2:], side=_FLAT_SIDE):
        around, inside = _with_context(window, FLATNESS_REACH)
        flat = inside.of(flatness(around.of(mean), deviation=FLAT_DEVIATION))
        part, part_of_mean = window.of(image), window.of(mean)
        part.copy_(part_of_mean + (part - part_of_mean) * (1 - (1 - kept) * flat))


def _parts(images: LowRes) -> tuple[LowRes, ...]:
    """Split a batch on a processor into its images, so that the bits of one do not depend on what else is drawn."""
    return images.split(1) if images.device.type == "cpu" else (images,)


def _covering(height: int, width: int, *, side: int | None = None) -> Iterator[Window]:
    side = side or _SIDE
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Window(top, left, min(side, height - top), min(side, width - left))


def _with_context(window: Window, reach: int) -> tuple[Window, Window]:
    """Widen a window by what its pixels depend on, as far as there is an image; and its own place in the wider one."""
    up, back = min(window.top, reach), min(window.left, reach)
    wider = Window(window.top - up, window.left - back, window.height + up + reach, window.width + back + reach)
    return wider, Window(up, back, window.height, window.width)


def _enlarged(window: Window, scale: int) -> Window:
    return Window(*(place * scale for place in window))
