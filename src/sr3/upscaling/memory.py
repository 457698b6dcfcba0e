"""Checks of memory, disk and time before the work, and the choice of tile size.

All is asked before any work starts.
"""

import shutil
import time
from itertools import pairwise
from pathlib import Path

import torch

from sr3.diffusion.samplers import Traits, as_sampler, ddim, one_call
from sr3.diffusion.schedule import cosine_grid
from sr3.duration import format_duration
from sr3.errors import ImageError
from sr3.runtime import free_memory
from sr3.sampling.norms import teachers
from sr3.sampling.plan import SamplingPlan
from sr3.sampling.tiling import windows
from sr3.sampling.upscaler import OVERLAP, Upscaler

__all__ = [
    "BYTES_PER_PIXEL",
    "MAX_SIDE",
    "TILES",
    "bytes_of",
    "bytes_of_other_bands",
    "check_disk",
    "check_fits",
    "check_time",
    "choose_tile",
    "predict_seconds",
    "samples_at_once",
    "smaller_tile",
    "window_bytes",
]

MAX_SIDE = 32_768
"""Longest side of a result in pixels."""

BYTES_PER_PIXEL = 108
"""Memory per pixel of the result: seven float32 images of three channels at once, and what the allocator keeps."""

_BYTES_PER_STATE = 12
"""Memory per pixel of one more state, of three float32 channels, that a sampler holds while it asks the network."""

TILES = (1024, 768, 512, 384, 256, 192, 128)
"""Sides of windows that are tried, largest first, when none is asked for."""

_SMALL_RESULT = 2048**2
"""Pixels of a result above which windows are at most 512 pixels per side, for its canvas already fills the memory."""

_RESERVE = 1.5
_TRIAL_SIDE = 128


def check_fits(path: Path, width: int, height: int, scale: int, *, extra: int = 0) -> None:
    """Raise ImageError when the result of an image of width x height would be too long, or too big for the memory.

    extra: bytes a pixel of the result beyond `BYTES_PER_PIXEL`.
    """
    wide, high = width * scale, height * scale
    if max(wide, high) > MAX_SIDE:
        raise ImageError(
            f"{path}: {width}x{height} would become {wide}x{high}, but results have at most {MAX_SIDE} pixels "
            "per side; crop it or shrink it first"
        )
    needed, free = wide * high * (BYTES_PER_PIXEL + extra), free_memory.free_memory()
    if needed > free:
        raise ImageError(
            f"{path}: a result of {wide}x{high} needs about {needed / 2**30:.1f} GiB of memory, but "
            f"{free / 2**30:.1f} GiB is free; crop it or use a larger machine"
        )


def bytes_of(sampler: Traits) -> int:
    """Estimate the bytes per pixel of the result that sampling needs."""
    return BYTES_PER_PIXEL + _BYTES_PER_STATE * sampler.extra_states


def bytes_of_other_bands(channels: int) -> int:
    """Estimate the bytes per pixel of the result that bands beyond three need."""
    return max(channels - 3, 0) * BYTES_PER_PIXEL // 3


def check_disk(path: Path, folder: Path, needed: float) -> None:
    """Raise ImageError when the files of an image, at their largest, would not fit where they go."""
    place = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), Path())
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        return
    if needed > free:
        raise ImageError(
            f"{path}: its results may need {needed / 2**30:.2f} GiB, but {place} has {free / 2**30:.2f} GiB left; "
            "free space, or give another -o"
        )


def window_bytes(upscaler: Upscaler) -> float:
    """Estimate what the network needs while it works, in bytes a pixel of its window: features of the finest level."""
    return 4 * _RESERVE * upscaler.denoiser.network.features_per_pixel


def choose_tile(upscaler: Upscaler, width: int, height: int) -> int:
    """Take the largest of `TILES` whose window fits half the memory that a result of width x height leaves."""
    left = (free_memory.device_free(upscaler.device) - width * height * BYTES_PER_PIXEL) / 2
    most = TILES[0] if width * height <= _SMALL_RESULT else 512
    usable = [tile for tile in TILES if upscaler.least_tile <= tile <= most] or [upscaler.least_tile]
    fitting = [tile for tile in usable if tile**2 * window_bytes(upscaler) <= left]
    return fitting[0] if fitting else usable[-1]


def smaller_tile(upscaler: Upscaler, width: int, height: int) -> int:
    """Halve the windows that a result of width x height is worked on in; 0 when they can be no smaller."""
    half = min(upscaler.tile, max(width, height)) // 2
    return half if half >= upscaler.least_tile else 0


def samples_at_once(upscaler: Upscaler, width: int, height: int, samples: int) -> int:
    """Return how many samples of a result fit on the device together; 1 on a processor, where a batch gains nothing."""
    if upscaler.device.type == "cpu":
        return 1
    window = min(upscaler.tile, width) * min(upscaler.tile, height) * window_bytes(upscaler)
    return max(
        1, min(samples, int(free_memory.device_free(upscaler.device) / 2 / (width * height * BYTES_PER_PIXEL + window)))
    )


def check_time(path: Path, seconds: float, most: float) -> None:
    """Raise ImageError when an image is expected to take longer than most seconds."""
    if seconds > most:
        raise ImageError(
            f"{path}: would take about {format_duration(seconds)} here, more than the --max-time of "
            f"{format_duration(most)}; take fewer --steps or --samples, or crop it"
        )


def predict_seconds(upscaler: Upscaler, width: int, height: int, sampling: SamplingPlan) -> float:
    """Estimate the time of a sample of width x height from a trial of the network on a small window."""
    side = max(_TRIAL_SIDE, upscaler.denoiser.network.size_multiple)
    low_res = torch.zeros(1, upscaler.info.condition_channels, -(-side // upscaler.scale), -(-side // upscaler.scale))
    trial = sampling
    if sampling.sampler.name != one_call.name:
        trial = SamplingPlan(sampling.settings.model_copy(update={"detail": 1.0}), as_sampler(ddim), cosine_grid(3))
    times = [time.monotonic()]
    times += [time.monotonic() for _ in upscaler.samples(low_res, sampling=trial, seeds=[0])]
    fastest = min(after - before for before, after in pairwise(times))  # the first call prepares the others
    each = fastest / (low_res.shape[-1] * upscaler.scale) ** 2
    return each * sampling.calls * _worked_pixels(upscaler, width, height)


def _worked_pixels(upscaler: Upscaler, width: int, height: int) -> int:
    if max(width, height) <= upscaler.tile:
        return width * height
    multiple = upscaler.denoiser.network.size_multiple
    cover = windows(height, width, tile=upscaler.tile, overlap=OVERLAP, multiple=multiple)
    learned = teachers(cover, multiple=multiple) if upscaler.shares_statistics else []
    return sum(window.height * window.width for window in (*cover, *learned))
