"""The search for a sampling grid after training (SR3, arXiv:2104.07636, section 2.4).

First families of two parameters, then the levels one by one. Only a score to make small is known here: what is scored,
and on which images, is the business of `scoring.py`.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch

from sr3.diffusion.schedule import check_grid, cosine_grid, karras_grid, linear_grid, log_snr_grid
from sr3.errors import GridError
from sr3.types import Grid

__all__ = ["FAMILIES", "Trial", "best_of", "search_grid"]

Family = Callable[[int, float, float], Grid]
"""Create a grid of a number of steps from two numbers in [0, 1]."""

_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
"""Where each family is looked at first."""
_LEAST_STRIDE = 0.02


class Trial(NamedTuple):
    """One grid tried: its place in the search, where it came from, its score, the best so far."""

    number: int
    source: str
    grid: Grid
    score: float
    best: float


def _between(low: float, high: float, place: float) -> float:
    """Interpolate in the logarithm."""
    return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))


def _linear(steps: int, start: float, place: float) -> Grid:
    return linear_grid(steps, gamma_first=_between(1e-6, 9e-3, start), beta_first=_between(1e-6, 1e-2, place))


def _log_snr(steps: int, start: float, end: float) -> Grid:
    return log_snr_grid(steps, gamma_first=_between(1e-6, 9e-3, start), gamma_last=1 - _between(0.2, 1e-4, end))


def _karras(steps: int, start: float, place: float) -> Grid:
    return karras_grid(steps, gamma_first=_between(1e-6, 9e-3, start), rho=1.5 + 10.5 * place)


def _cosine(steps: int, start: float, place: float) -> Grid:
    return cosine_grid(steps, gamma_first=_between(1e-6, 9e-3, start), power=_between(0.5, 2.0, place))


FAMILIES: dict[str, Family] = {"cosine": _cosine, "log_snr": _log_snr, "karras": _karras, "linear": _linear}
"""Linear in beta (first level, first beta); even in log-SNR (first and last level); Karras (first level, rho);
cosine (first level, power)."""


def search_grid(score: Callable[[Grid], float], start: Grid, *, budget: int) -> Iterator[Trial]:
    """Try grids of as many steps as the start has, at most budget of them, the start first; lower scores are better.

    Half of the budget goes to the families: five places of each, then a pattern search in the best of them. The rest
    moves single levels of the best grid in log-SNR, by ever smaller parts of the gaps to their neighbours. No grid is
    tried twice, and the search ends early when nothing is left that helps.
    """
    steps, trials, tried = len(start) - 1, list[Trial](), set[tuple[float, ...]]()

    def attempt(source: str, grid: Grid | None) -> Iterator[Trial]:
        key = tuple(grid[:-1].logit().mul(1e6).round().tolist()) if grid is not None else ()
        if grid is None or key in tried or len(trials) == budget:
            return
        tried.add(key)
        value = score(grid)
        best = min(value, trials[-1].best) if trials else value
        trials.append(Trial(len(trials) + 1, source, grid, value, best))
        yield trials[-1]

    yield from attempt("start", start)
    for place in _PLACES:
        for name in FAMILIES:
            if len(trials) < max(2, budget // 2):
                yield from attempt(name, _member(name, steps, place))
    yield from _pattern_search(attempt, trials, steps, until=budget // 2)
    while len(trials) < budget:
        before = trials[-1].best
        for part in (0.5, 0.25, 0.125):
            for level, sign in itertools.product(range(steps), (1, -1)):
                yield from attempt(f"level {level + 1}", _moved(best_of(trials).grid, level, sign * part))
        if trials[-1].best == before:
            return


def best_of(trials: Sequence[Trial]) -> Trial:
    """Find the trial of the lowest score."""
    return min(trials, key=lambda trial: trial.score)


def _pattern_search(
    attempt: Callable[[str, Grid | None], Iterator[Trial]], trials: Sequence[Trial], steps: int, *, until: int
) -> Iterator[Trial]:
    """Walk downhill in the two numbers of the family that was best at the five places, with ever smaller strides."""
    of_families = [trial for trial in trials if trial.source in FAMILIES]
    if not of_families:
        return
    winner = best_of(of_families)
    name, record = winner.source, winner.score
    place = next(spot for spot in _PLACES if _same_grid(_member(name, steps, spot), winner.grid))
    stride = 0.2
    while stride > _LEAST_STRIDE and len(trials) < until:
        improved = False
        for across, along in ((stride, 0.0), (-stride, 0.0), (0.0, stride), (0.0, -stride)):
            there = (min(1.0, max(0.0, place[0] + across)), min(1.0, max(0.0, place[1] + along)))
            for trial in attempt(name, _member(name, steps, there)):
                yield trial
                if trial.score < record:
                    place, record, improved = there, trial.score, True
            if len(trials) >= until:
                return
        stride = stride if improved else stride / 2


def _member(name: str, steps: int, place: tuple[float, float]) -> Grid | None:
    return _possible(partial(FAMILIES[name], steps, *place))


def _same_grid(some: Grid | None, other: Grid) -> bool:
    return some is not None and torch.equal(some, other)


def _possible(make: Callable[[], Grid]) -> Grid | None:
    """Create a grid where the family has one of so many steps."""
    try:
        return make()
    except GridError:
        return None


def _moved(grid: Grid, level: int, part: float) -> Grid | None:
    """Move one level towards a neighbour by a part of the gap in log-SNR; the first may leave by the width of its."""
    snr = grid[:-1].logit()
    after = float(snr[level + 1]) if level + 1 < len(snr) else float(snr[level]) + 2.0
    before = float(snr[level - 1]) if level > 0 else float(snr[0]) - 1.0
    gap = after - float(snr[level]) if part > 0 else float(snr[level]) - before
    snr = snr.clone()
    snr[level] += part * gap
    return _possible(lambda: check_grid(torch.cat([snr.sigmoid(), torch.ones(1, dtype=torch.float64)])))
