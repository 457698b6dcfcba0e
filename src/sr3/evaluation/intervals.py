"""Bootstrap confidence intervals over images (Efron 1979), with the same draws for every metric and method.

The picture is what is drawn again, with all its samples and patches. Pictures are taken as drawn from many alike, so an
interval is about other pictures, not about other noise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LEVEL", "Figure", "around", "draws", "mean_figure", "set_figure"]

LEVEL = 0.95
_DEVIATIONS = 1.959963984540054
"""Of a normal distribution, within which a share of LEVEL lies."""


@dataclass(frozen=True)
class Figure:
    """A figure with its interval, None where there is none, and the number of pictures it is of."""

    value: float
    low: float | None
    high: float | None
    count: int


def draws(count: int, times: int, seed: int) -> Tensor:
    """Draw pictures with replacement: places, shape (times, count)."""
    return torch.randint(0, count, (times, count), generator=torch.Generator().manual_seed(seed))


def mean_figure(values: Tensor, *, times: int, seed: int) -> Figure:
    """Average figures of pictures (n,), those that are NaN left out, with the percentile interval of the mean.

    There is no interval for fewer than two pictures, or where one figure is infinite.
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
    """Measure a set of pictures, and again for drawn ones: the figure, and what each draw gave, shape (times,).

    measure takes places of pictures (count,). Drawn sets repeat pictures, which shifts such figures, so the interval
    is the figure with 1.96 deviations of the draws on either side.
    """
    value = measure(torch.arange(count))
    drawn = torch.tensor([measure(places) for places in draws(count, times, seed)], dtype=torch.float64)
    return around(value, drawn, count), drawn


def around(value: float, drawn: Tensor, count: int) -> Figure:
    """Put the interval of 1.96 deviations of draws around a figure; none for fewer than two pictures or draws.

    Draws that are NaN do not count: some figures have no value where one picture is taken again and again.
    """
    drawn = drawn[~drawn.isnan()]
    if count < 2 or len(drawn) < 2 or not math.isfinite(value):
        return Figure(value, None, None, count)
    reach = _DEVIATIONS * float(drawn.std())
    return Figure(value, value - reach, value + reach, count)
