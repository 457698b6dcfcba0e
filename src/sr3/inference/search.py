"""The search for a sampling grid after training (SR3, arXiv:2104.07636, section 2.4).

First families of two parameters, then the levels one by one. `search_grid` knows only a score to make small; what is
scored, and on which pictures, is the business of `GridScorer`.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.build import build_grid, build_recipe
from sr3.checkpoint import describe_anew, read_model
from sr3.config import SamplingConfig, SearchedGrid
from sr3.data.dataset import PairDataset
from sr3.data.sources import Source
from sr3.diffusion.schedule import check_grid, cosine_grid, karras_grid, linear_grid, log_snr_grid
from sr3.errors import ConfigError, GridError
from sr3.inference.upscaler import Upscaler
from sr3.metrics.distribution import frechet_distance
from sr3.metrics.energy import energy_score
from sr3.metrics.features import FeatureNetwork
from sr3.types import Grid, Image, LowRes

__all__ = ["FAMILIES", "GridScorer", "Trial", "held_out_pairs", "keep_grid", "search_grid", "start_of"]

Family = Callable[[int, float, float], Grid]
"""Make a grid of a number of steps from two numbers in [0, 1]."""

MAX_STEPS = 100
"""The paper's limit on refinement steps."""


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

    Half of the budget goes to the families: five places of each, then a pattern search in the best. The rest moves
    single levels of the best grid in log-SNR, by ever smaller parts of the gaps to their neighbours.
    """
    steps, best, numbers = len(start) - 1, math.inf, itertools.count(1)
    chosen = start

    def attempt(source: str, grid: Grid) -> Trial:
        nonlocal best, chosen
        value = score(grid)
        if value < best:
            best, chosen = value, grid
        return Trial(next(numbers), source, grid, value, best)

    proposals = itertools.chain([("start", start)], _from_families(steps, lambda: best, budget // 2))
    made = 0
    for source, grid in itertools.islice(proposals, max(1, budget // 2)):
        made += 1
        yield attempt(source, grid)
    while made < budget and steps > 1:
        moved = False
        for part in (0.5, 0.25, 0.125):
            for level, sign in itertools.product(range(steps), (1, -1)):
                grid = _moved(chosen, level, sign * part)
                if grid is None:
                    continue
                before = best
                yield attempt(f"level {level + 1}", grid)
                moved, made = moved or best < before, made + 1
                if made == budget:
                    return
        if not moved:
            return


def _from_families(steps: int, best: Callable[[], float], budget: int) -> Iterator[tuple[str, Grid]]:
    """Propose grids; whether one was the best so far is asked after it was tried."""
    winner, place, record = "", (0.5, 0.5), best()
    for centre in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        for name, family in FAMILIES.items():
            grid = _possible(partial(family, steps, *centre))
            if grid is None:
                continue
            yield name, grid
            if best() < record:
                winner, place, record = name, centre, best()
    if not winner:
        winner = "cosine"
    width = 0.2
    for _ in range(budget):
        improved = False
        for across, along in ((width, 0.0), (-width, 0.0), (0.0, width), (0.0, -width)):
            there = (min(1.0, max(0.0, place[0] + across)), min(1.0, max(0.0, place[1] + along)))
            grid = _possible(partial(FAMILIES[winner], steps, *there))
            if there == place or grid is None:
                continue
            yield winner, grid
            if best() < record:
                place, record, improved = there, best(), True
        width = width if improved else width / 2


def _possible(make: Callable[[], Grid]) -> Grid | None:
    """Make a grid where the family has one of so many steps."""
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


@dataclass(frozen=True)
class GridScorer:
    """Score grids on pictures whose truth is known: every picture is sampled twice, with the same noise every time.

    features: a network, for the Frechet distance of samples and truths; none of them, for the energy score x1000.
    """

    upscaler: Upscaler
    sampling: SamplingConfig
    pairs: Sequence[tuple[LowRes, Image]]
    features: Sequence[FeatureNetwork] = ()

    @property
    def metric(self) -> str:
        """Name what is measured."""
        return f"FD ({self.features[0].name})" if self.features else "energy score x1000"

    def __call__(self, grid: Grid) -> float:
        """Sample every picture along a grid and score the samples; lower is better."""
        sampling = self._along(grid)
        samples = [self._samples(low_res, sampling, number) for number, (low_res, _) in enumerate(self.pairs)]
        if self.features:
            truths = [truth for _, truth in self.pairs]
            drawn = self.features[0](part for sample in samples for part in sample)
            return frechet_distance(drawn, self.features[0](truths))
        scores = [energy_score(sample, truth) for sample, (_, truth) in zip(samples, self.pairs, strict=True)]
        return 1000 * float(torch.cat(scores).mean())

    def _along(self, grid: Grid) -> SamplingConfig:
        return self.sampling.model_copy(update={"searched": (_described(self.sampling, grid),)})

    def _samples(self, low_res: LowRes, sampling: SamplingConfig, number: int) -> Tensor:
        twice = low_res.repeat(2, 1, 1, 1)
        both = self.upscaler.upscale(twice, sampling=sampling, seeds=[2 * number, 2 * number + 1])
        return both[:, None].cpu()


def start_of(sampling: SamplingConfig) -> Grid:
    """Make the grid a search begins with; ConfigError where there is nothing to search."""
    if sampling.sampler == "regression":
        raise ConfigError("a regression model answers in one call: it has no levels to search")
    if sampling.steps > MAX_STEPS:
        raise ConfigError(f"{sampling.steps} steps: levels are searched for at most {MAX_STEPS}; take fewer --steps")
    return build_grid(sampling)


def held_out_pairs(source: Source, upscaler: Upscaler, *, images: int, side: int) -> list[tuple[LowRes, Image]]:
    """Take the middles of pictures spread evenly over a source, with their low-resolution versions."""
    config = upscaler.info.config
    if config.network.condition == "none":
        raise ConfigError(f"{upscaler.info.name}: is a generator; levels are searched for models that upscale")
    dataset = PairDataset(source, build_recipe(config.data.model_copy(update={"crop": 0, "cache_gib": 0.0})))
    count = min(images, len(source))
    pairs = [dataset.centre(round((k + 0.5) * len(source) / count - 0.5), side) for k in range(count)]
    return [(pair.low_res[None], pair.y0[None]) for pair in pairs]


def keep_grid(
    path: Path, target: Path, sampling: SamplingConfig, trials: Sequence[Trial], *, metric: str
) -> SearchedGrid:
    """Write a model with the best grid of a search inside, in the place of one for the same sampler and steps."""
    best = min(trials, key=lambda trial: trial.score)
    found = _described(sampling, best.grid, metric=metric, score=best.score, before=trials[0].score)
    info = read_model(path).info
    others = tuple(grid for grid in info.config.sampling.searched if not _same(grid, found))
    kept = info.config.sampling.model_copy(update={"searched": (*others, found)})
    describe_anew(path, target, info.model_copy(update={"config": info.config.model_copy(update={"sampling": kept})}))
    return found


def _same(some: SearchedGrid, other: SearchedGrid) -> bool:
    return (some.sampler, some.eta, some.steps) == (other.sampler, other.eta, other.steps)


def _described(
    sampling: SamplingConfig, grid: Grid, *, metric: str = "", score: float = 0.0, before: float = 0.0
) -> SearchedGrid:
    return SearchedGrid(
        sampler=sampling.sampler,
        eta=sampling.eta,
        steps=sampling.steps,
        gammas=tuple(grid.tolist()),
        metric=metric,
        score=score,
        before=before,
    )
