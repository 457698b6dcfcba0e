"""From an image to samples of p(y | x): resize x, tile, bind x, sample, correct low frequencies.

Images are tensors in [-1, 1]; files are not known here.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple, cast

import torch
from torch import nn

from sr3.build import Network
from sr3.checkpoint import ModelFile, ModelInfo, read_model
from sr3.config import SamplingConfig
from sr3.diffusion.denoiser import ClassAndLevel, Conditioning, Denoise, Denoiser, LowResInput, MeanFeatures
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import diffuse
from sr3.diffusion.samplers import numbered
from sr3.errors import CheckpointError, ConfigError
from sr3.images.enlarge import enlarge
from sr3.networks.span import SPAN
from sr3.networks.strength import StrengthNetwork
from sr3.networks.unet import NONE
from sr3.runtime.device import choose_device, choose_dtype, each_alone, in_type, laid_out
from sr3.runtime.threads import check_not_forked
from sr3.sampling.conditions import in_window, of_image
from sr3.sampling.consistency import match_low_frequencies
from sr3.sampling.filling import build_filled
from sr3.sampling.mean_tiles import (
    Cleaned,
    Measure,
    WholeMean,
    calm_flat_places,
    measured_strength,
    restored,
    restored_as_measured,
)
from sr3.sampling.norms import SharedNorms, teachers
from sr3.sampling.plan import Sampling, as_plan
from sr3.sampling.tiling import Window, tiled, windows
from sr3.sampling.window_report import OnWindow, ignore_window, reported
from sr3.types import Condition, Grid, Image, LowRes, State
from sr3.zoo import find_model

__all__ = ["Preview", "Upscaler", "load_upscaler", "open_upscaler"]

OVERLAP = 64
"""Pixels of the output that neighbouring tiles share."""

_LEAST_DETAIL = 0.125
"""Share of the sample at detail 0; with less the PSNR falls again (measured in docs/explanation/uncertainty.md)."""


class Preview(NamedTuple):
    """State after a step: the predicted image, and on demand the noisy state as an image."""

    guess: Image
    state: Callable[[], Image]


class _Given(NamedTuple):
    """What sampling is given: x, and by window the other conditional inputs.

    clean: the state at which sampling starts, before it is noised; None for pure noise. mean: if there is one.
    """

    x: Condition
    conditioning: Callable[[Window], Conditioning]
    clean: Image | None
    mean: Image | None


@dataclass(frozen=True)
class Upscaler:
    """A trained model, ready to sample.

    tile: largest side of a window in pixels of the output; larger images are cut into overlapping windows.
    on_window: called after each window; an exception that it raises ends the work.
    restoration: strength of the restoration network, if the model has one: a factor on what it changes in the input, 0
    for no change; None for the strength that the model measures in each image, or 1 if it measures none. stated: what
    the file of the input asks for, which the measured strength has to exceed clearly (`measured_strength`).
    """

    info: ModelInfo
    denoiser: Denoiser[Network]
    device: torch.device
    dtype: torch.dtype
    tile: int = 1024
    on_window: OnWindow = ignore_window
    restoration: float | None = None
    stated: float | None = None

    @property
    def scale(self) -> int:
        """Magnification."""
        return self.info.config.data.scale

    def samples(self, low_res: LowRes, *, sampling: Sampling, seeds: Sequence[int] | NoiseSource) -> Iterator[Image]:
        """Refine step by step; yields the current guess of the image, the last one is the sample.

        low_res: (b, c, h, w) in [-1, 1]; sampling: settings, or a plan (`sr3.sampling.plan`); seeds: one per image,
        or the noise itself. Yields (b, c, s h, s w) in [-1, 1], float32.
        The low frequencies of the last image are matched to the input unless `sampling.correct` is false.
        """
        for preview in islice(self.previews(low_res, sampling=sampling, seeds=seeds), 1, None):
            yield preview.guess
            del preview  # it holds a whole state, and the next step needs the memory

    def previews(self, low_res: LowRes, *, sampling: Sampling, seeds: Sequence[int] | NoiseSource) -> Iterator[Preview]:
        """Refine as `samples` does; also yields the noisy state, and first of all the enlarged input with noise."""
        check_not_forked()
        low_res = self.cleaned(low_res).images
        noise = seeds if isinstance(seeds, NoiseSource) else NoiseSource(seeds)
        plan = as_plan(sampling)
        settings, grid = plan.settings, plan.grid
        x, conditioning, clean, mean = self._condition(low_res, settings, noise)
        denoise, start = self._denoise(x, settings, conditioning), noise.like(self._result_like(x))
        other = None
        if settings.detail < 1:
            other = self._predict_first(denoise, _started(clean, -start, grid), grid)
        start = _started(clean, start, grid)
        del clean
        average: Image | None = None
        yield Preview(x.clamp(-1, 1), partial(self._seen_state, start, x))
        steps = plan.walk(denoise, start, noise)
        del start  # only the sampler still needs it, for one step
        for number, step in numbered(steps, start=1):
            if other is not None and average is None:
                average, other = (step.y0 + other) / 2, None
            final = number == plan.steps
            state = step.y if final else step.y0
            if average is not None:
                state = average.lerp(state, _LEAST_DETAIL + (1 - _LEAST_DETAIL) * settings.detail)
            image = self.denoiser.decode(state, x).clamp_(-1, 1)
            if final and mean is not None and settings.flat_detail < 1:
                calm_flat_places(image, mean, kept=settings.flat_detail)
            if final and settings.correct:
                match_low_frequencies(image, low_res, cell=settings.correct_cell, out=image)
            yield Preview(image, partial(self._seen_state, step.y, x))
            del image, state, step

    def _result_like(self, x: Condition) -> Image:
        """Return a tensor of the shape of the result for a condition, which may have other channels."""
        channels = self.info.image_channels
        return x if x.shape[1] == channels else x[:, :1].expand(-1, channels, -1, -1)

    def _predict_first(self, denoise: Denoise, start: Image, grid: Grid) -> Image:
        """Predict the clean state of a start; of the mirrored noise it averages with the other to E[y0 | x]."""
        with torch.no_grad():
            return denoise(start, grid[:1].expand(len(start))).y0

    def _seen_state(self, y: Image, x: Condition) -> Image:
        return self.denoiser.decode(y, x).clamp(-1, 1)

    @property
    def cleans(self) -> bool:
        """Whether the model has a network that cleans its input."""
        return self.denoiser.restoration is not None

    def cleaned(self, low_res: LowRes) -> Cleaned:
        """Bring images (b, c, h, w) in [-1, 1] to the device, and clean them if the model has a network for that."""
        network, strength, low_res = self.denoiser.restoration, self._strength, low_res.to(self.device, torch.float32)
        if network is None or strength == 0:
            return Cleaned(low_res, low_res.new_zeros(len(low_res)))
        check_not_forked()
        if isinstance(strength, float | int):
            return Cleaned(restored(network, low_res, strength=strength), low_res.new_full((len(low_res),), strength))
        return restored_as_measured(network, low_res, strength)

    @property
    def _strength(self) -> float | Measure:
        if self.denoiser.restoration is None:
            return 0.0
        if self.restoration is not None:
            return self.restoration
        if self.denoiser.strength is None:
            return 1.0 if self.stated is None else self.stated
        return partial(measured_strength, cast(StrengthNetwork, self.denoiser.strength), stated=self.stated)

    def correct(self, image: Image, low_res: LowRes) -> Image:
        """Match the low frequencies of an image to the input."""
        cell = self.info.config.sampling.correct_cell
        return match_low_frequencies(image, self.cleaned(low_res).images.to(image), cell=cell)

    @property
    def shares_statistics(self) -> bool:
        """Whether the network uses statistics of the whole image, which windows must then share."""
        return any(isinstance(part, nn.GroupNorm | nn.AdaptiveAvgPool2d) for part in self.denoiser.network.modules())

    @property
    def least_tile(self) -> int:
        """Smallest side of a window that can overlap its neighbours and still advance."""
        multiple = self.denoiser.network.size_multiple
        return (-(-OVERLAP // multiple) + 1) * multiple

    def upscale(self, low_res: LowRes, *, sampling: Sampling, seeds: Sequence[int] | NoiseSource) -> Image:
        """Draw one sample per image; arguments as for `samples`."""
        return deque(self.samples(low_res, sampling=sampling, seeds=seeds), maxlen=1)[0]

    def _condition(self, low_res: LowRes, sampling: SamplingConfig, noise: NoiseSource) -> _Given:
        config = self.info.config
        if config.mean is None:
            seen, conditioning = self._noised(low_res, sampling, noise)
            x = enlarge(seen, self.scale, config.data.enlarged)
            return _Given(x, partial(in_window, conditioning, scale=self.scale), None, None)
        network = cast(SPAN, self.denoiser.mean)
        shows_mean, starts_there = config.mean.condition == "mean", sampling.start == "mean"
        mean = WholeMean(network, low_res, at_once=self.tile)
        x = mean.picture if shows_mean else enlarge(low_res, self.scale, config.data.enlarged)
        clean = self.denoiser.encode(mean.picture, x) if starts_there else None

        def features(window: Window) -> Conditioning:
            return MeanFeatures(mean.features(window)) if config.network.guide else ()

        return _Given(x, features, clean, mean.picture)

    def _noised(self, low_res: LowRes, sampling: SamplingConfig, noise: NoiseSource) -> tuple[LowRes, Conditioning]:
        """Add noise to the input as the settings say, and condition the network on its level if it takes one."""
        if self.info.config.network.sees_low_res:
            return low_res, LowResInput(low_res)
        if not self.info.config.network.condition_level:
            return low_res, ()
        levels = torch.full((len(low_res),), sampling.condition_gamma, dtype=torch.float64)
        if sampling.condition_gamma < 1:
            low_res = diffuse(low_res, noise.like(low_res), levels)
        return low_res, ClassAndLevel(NONE, levels)

    def _denoise(
        self, x: Condition, sampling: SamplingConfig, conditioning: Callable[[Window], Conditioning]
    ) -> Denoise:
        height, width = x.shape[-2:]
        multiple = self.denoiser.network.size_multiple
        if max(height, width) <= self.tile:
            return self._window_denoise(x, sampling, conditioning(Window(0, 0, height, width)))
        cover = windows(height, width, tile=self.tile, overlap=OVERLAP, multiple=multiple)

        def alone(window: Window) -> Denoise:
            return self._window_denoise(window.of(x), sampling, conditioning(window))

        def decode(y0: State, window: Window) -> Image:
            return self.denoiser.decode(y0, window.of(x)).clamp_(-1, 1)

        total = len(cover) + (len(teachers(cover, multiple=multiple)) if self.shares_statistics else 0)
        of_window = reported(alone, decode, self.on_window, size=(height, width), total=total)
        if not self.shares_statistics:
            return tiled(of_window, cover, overlap=OVERLAP)
        return SharedNorms().joined(of_window, cover, overlap=OVERLAP, multiple=multiple)

    def _window_denoise(self, x: Condition, sampling: SamplingConfig, conditioning: Conditioning) -> Denoise:
        bind = partial(self.denoiser.bind, clip=sampling.clip)
        if self.device.type != "cpu" or len(x) == 1:
            return in_type(bind(x, conditioning=conditioning), device=self.device, dtype=self.dtype)
        # A processor gains little by batches, and alone an image has the same bits whatever else is drawn.
        pairs = [(x[k : k + 1], of_image(conditioning, k)) for k in range(len(x))]
        return each_alone([in_type(bind(a, conditioning=b), device=self.device, dtype=self.dtype) for a, b in pairs])


@torch.no_grad()
def _started(clean: Image | None, noise: Image, grid: Grid) -> Image:
    """Return the initial state of sampling: the noise, or a clean state diffused with it to the first level.

    The noise is overwritten, since a large image needs the memory.
    """
    return noise if clean is None else diffuse(clean, noise, grid[:1].expand(len(noise)), out=noise)


def open_upscaler(model: str, *, device: str = "auto", dtype: str = "auto", tile: int = 1024) -> Upscaler:
    """Load a model, given by name, path or run folder, onto a device."""
    place = choose_device(device)
    upscaler = load_upscaler(read_model(find_model(model)), device=place, dtype=choose_dtype(dtype, place))
    if tile < upscaler.least_tile:
        raise ConfigError(f"--tile {tile}: {upscaler.info.name} needs windows of at least {upscaler.least_tile} pixels")
    return replace(upscaler, tile=tile)


def load_upscaler(model: ModelFile, *, device: torch.device, dtype: torch.dtype) -> Upscaler:
    """Load a model file for upscaling; CheckpointError when it is damaged or an unconditional generator."""
    if model.info.config.network.condition == "none":
        raise CheckpointError(f"{model.info.name}: generates images without an input; use it with sr3 generate")
    return Upscaler(model.info, laid_out(build_filled(model, device), dtype), device, dtype)
