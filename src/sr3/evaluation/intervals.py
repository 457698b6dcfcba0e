"""Bootstrap confidence intervals over images (Efron 1979), with the same resamples for every metric and method.

The resampled unit is the image, with all its samples and patches. So an interval describes the variation over images
of the same population, not over the noise of the sampler.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LEVEL", "Figure", "around", "draws", "mean_figure", "set_figure"]

LEVEL = 0.95
_DEVIATIONS = 1.959963984540054
"""Standard deviations of a normal distribution that contain a share of LEVEL."""


@dataclass(frozen=True)
class Figure:
    """The value of a metric, its interval (None if there is none), and the number of images."""

    value: float
    low: float | None
    high: float | None
    count: int


def draws(count: int, times: int, seed: int) -> Tensor:
    """Draw images with replacement: indices, shape (times, count)."""
    return torch.randint(0, count, (times, count), generator=torch.Generator().manual_seed(seed))


def mean_figure(values: Tensor, *, times: int, seed: int) -> Figure:
    """Average values per image (n,), ignoring NaN, with the percentile interval of the mean.

    There is no interval for fewer than two images, or if a value is infinite.
    """
    values = values.double()
    values = values[~values.isnan()]
    if len(values) == 0:
        return Figure(math.nan, None, None, 0)
    mean = float(values.mean())
    if len(values) < 2 or not math.isfinite(mean):
        return Figure(mean, None, None, len(values))
    means = values[draws(len(values), times, seed)].mean(dim=1)
    ends = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    low, high = torch.quantile(means, ends).tolist()
    return Figure(mean, low, high, len(values))


def set_figure(measure: Callable[[Tensor], float], count: int, *, times: int, seed: int) -> tuple[Figure, Tensor]:
    """Compute a metric of a set and of its bootstrap resamples; returns the metric and its resampled values, (times,).

    measure takes indices of images (count,). Resamples repeat images, which biases metrics of sets, so the interval is
    the value plus and minus 1.96 standard deviations of the resampled values.
    """
    value = measure(torch.arange(count))
    drawn = torch.tensor([measure(places) for places in draws(count, times, seed)], dtype=torch.float64)
    return around(value, drawn, count), drawn


def around(value: float, drawn: Tensor, count: int) -> Figure:
    """Build the interval of 1.96 standard deviations of resampled values; none for fewer than two images or resamples.

    NaN is ignored: some metrics are undefined for a resample that repeats one image.
    """
    drawn = drawn[~drawn.isnan()]
    if count < 2 or len(drawn) < 2 or not math.isfinite(value):
        return Figure(value, None, None, count)
    reach = _DEVIATIONS * float(drawn.std())
    return Figure(value, value - reach, value + reach, count)
