"""Scores of a searched grid on held-out images, and storage of the best one in the model file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from sr3.build import build_grid, build_sampler
from sr3.checkpoint import ModelInfo, describe_anew, read_model
from sr3.config import SamplingConfig, SearchedGrid
from sr3.data.dataset import PairDataset
from sr3.data.pairs import PairRecipe
from sr3.data.sources import Source
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, DataError
from sr3.hub import is_address
from sr3.metrics.distribution import frechet_distance
from sr3.metrics.energy import gradient_energy_score
from sr3.metrics.features import FeatureNetwork
from sr3.sampling.plan import SamplingPlan
from sr3.sampling.upscaler import Upscaler
from sr3.tuning.search import Trial, best_of
from sr3.types import Grid, Image, LowRes
from sr3.zoo import packaged_models

__all__ = ["GridScorer", "check_pairs", "check_target", "choose", "held_out_pairs", "keep_grid", "start_of"]

MAX_STEPS = 100
"""The paper's limit on refinement steps."""


@dataclass(frozen=True)
class GridScorer:
    """Score grids on images whose truth is known, with the same noise for every grid.

    features: a network, for the Frechet distance between one sample of every image and the truths; none, for the
    energy score x1000 of the gradients of two samples. draw: which noise; another number gives another. together: how
    many images of one size are sampled at once, which pays on a GPU.
    """

    upscaler: Upscaler
    sampling: SamplingConfig
    pairs: Sequence[tuple[LowRes, Image]]
    features: Sequence[FeatureNetwork] = ()
    draw: int = 0
    together: int = 1

    @property
    def metric(self) -> str:
        """Name what is measured."""
        return f"FD ({self.features[0].name})" if self.features else "gradient energy score x1000"

    @cached_property
    def _true_features(self) -> Tensor:
        return self.features[0](_in_colour(truth) for _, truth in self.pairs)

    def __call__(self, grid: Grid) -> float:
        """Sample every image along a grid and score the samples; lower is better."""
        sampling = SamplingPlan(self.sampling, build_sampler(self.sampling), grid)
        count = 1 if self.features else 2
        drawn = list(self._drawn(sampling, count))
        if self.features:
            return frechet_distance(self.features[0](_in_colour(part[0]) for part in drawn), self._true_features)
        scores = [gradient_energy_score(part, truth) for part, (_, truth) in zip(drawn, self.pairs, strict=True)]
        return 1000 * float(torch.cat(scores).mean())

    def _drawn(self, sampling: SamplingPlan, count: int) -> Iterator[Tensor]:
        """Draw so many samples of each image, (count, 1, c, h, w); neighbours of one size together."""
        numbered = [(number, low_res) for number, (low_res, _) in enumerate(self.pairs)]
        for _, alike in groupby(numbered, key=lambda pair: pair[1].shape):
            same = list(alike)
            for part in (same[k : k + self.together] for k in range(0, len(same), self.together)):
                seeds = [mix_seed(self.draw, number, k) for number, _ in part for k in range(count)]
                together = torch.cat([low_res for _, low_res in part]).repeat_interleave(count, dim=0)
                samples = self.upscaler.upscale(together, sampling=sampling, seeds=seeds).cpu()
                yield from samples[:, None].split(count)


def _in_colour(image: Image) -> Image:
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image


def start_of(sampling: SamplingConfig) -> Grid:
    """Create the grid a search begins with; ConfigError where there is nothing to search."""
    if sampling.sampler == "regression":
        raise ConfigError("a regression model answers in one call: it has no levels to search")
    if sampling.sampler == "distilled":
        raise ConfigError("a distilled model has fixed levels: search those of its teacher, or distil again")
    if sampling.steps > MAX_STEPS:
        raise ConfigError(f"{sampling.steps} steps: levels are searched for at most {MAX_STEPS}; take fewer --steps")
    return build_grid(sampling)


def check_pairs(info: ModelInfo, low_res: Path | None) -> None:
    """Raise ConfigError where low-resolution versions are given to a model that learnt from others."""
    kind = info.config.data.degradation
    if low_res is not None and kind != "paired":
        raise ConfigError(f"--low-res {low_res}: {info.name} was trained on inputs made by {kind}; leave --low-res out")


def held_out_pairs(source: Source, upscaler: Upscaler, *, images: int, side: int) -> list[tuple[LowRes, Image]]:
    """Take the middles of images spread evenly over a source, with their low-resolution versions.

    Raises DataError for images of other channels than the model's, or fewer than two.
    """
    info = upscaler.info
    dataset = PairDataset(source, PairRecipe(info.config.data.model_copy(update={"crop": 0, "cache_gib": 0.0})))
    if dataset.image_channels != info.image_channels:
        raise DataError(
            f"{source.name(0)}: has {dataset.image_channels} channels, but {info.name} {info.image_channels}; "
            "give images with the model's channels"
        )
    if side < info.config.data.scale:
        raise ConfigError(f"--side {side}: is less than one pixel of the input; give a multiple of the scale")
    count = min(images, len(source))
    if count < 2:
        raise DataError("a search needs at least 2 images; give more")
    pairs = [dataset.centre(round((k + 0.5) * len(source) / count - 0.5), side) for k in range(count)]
    return [(pair.low_res[None], pair.y0[None]) for pair in pairs]


def choose(scorer: GridScorer, trials: Sequence[Trial]) -> SearchedGrid:
    """Score the best grid and the start once more, with other noise than the search, and describe the better one."""
    fresh = replace(scorer, draw=scorer.draw + 1)
    start, best = trials[0].grid, best_of(trials).grid
    before = fresh(start)
    after = before if torch.equal(start, best) else fresh(best)
    grid, score = (best, after) if after < before else (start, before)
    sampling = scorer.sampling
    return SearchedGrid(
        sampler=sampling.sampler,
        eta=sampling.eta,
        steps=sampling.steps,
        gammas=tuple(grid.tolist()),
        metric=scorer.metric,
        score=score,
        before=before,
    )


def target_of(model: str, path: Path, output: Path | None) -> Path:
    """Choose the file of the searched model: the one asked for, or the model's own; ConfigError for one of the Hub."""
    if output is None and is_address(model):
        raise ConfigError(
            f"{model}: its file belongs to the cache of the Hub; name a file for the searched model by -o"
        )
    return output or path


def check_target(path: Path, target: Path, *, overwrite: bool = False) -> None:
    """Raise ConfigError where the result of a search could not be written, before it begins.

    The searched model itself may be replaced; another file only with overwrite, and one of the package never.
    """
    if target.exists() and any(target.samefile(packaged) for packaged in packaged_models().values()):
        raise ConfigError(f"{target.stem}: belongs to the package; name a file for the searched model by -o")
    if not target.parent.is_dir():
        raise ConfigError(f"-o {target}: its folder does not exist; make it first")
    if target.is_dir() or target.suffix != path.suffix:
        raise ConfigError(f"-o {target}: name a file that ends in {path.suffix}")
    if target.exists() and not target.samefile(path) and not overwrite:
        raise ConfigError(f"-o {target}: exists and is not {path}; give another name, or --overwrite")


def keep_grid(path: Path, target: Path, info: ModelInfo, found: SearchedGrid) -> None:
    """Write a model with a grid inside, in the place of one for the same sampler and steps.

    info: the description of the model that was searched; ConfigError when the file is no longer that model.
    """
    if read_model(path).info != info:
        raise ConfigError(f"{path}: has changed during the search, so nothing was written; search again")
    others = tuple(grid for grid in info.config.sampling.searched if not grid.serves(found))
    kept = info.config.sampling.model_copy(update={"searched": (*others, found)})
    describe_anew(path, target, info.model_copy(update={"config": info.config.model_copy(update={"sampling": kept})}))
