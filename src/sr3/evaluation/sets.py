"""Metrics of whole sets from their features: Frechet and kernel distance, precision and recall, inception score."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.errors import DataError
from sr3.evaluation.intervals import Figure, around, draws, mean_figure, set_figure
from sr3.evaluation.settings import Settings
from sr3.metrics.classification import inception_score
from sr3.metrics.distribution import NEIGHBOURS, frechet_distance, inside_manifold, kernel_distances

__all__ = ["SetFigures", "compare_sets", "compare_unpaired", "score_logits"]

_SET_SHARE = 20
_FEWEST_DRAWS = 20


@dataclass(frozen=True)
class SetFigures:
    """Metrics of a set, their bootstrap resamples, and values per image, shape (n,)."""

    figures: Mapping[str, Figure]
    drawn: Mapping[str, Tensor]
    of_pictures: Mapping[str, Tensor]


def set_draws(settings: Settings) -> int:
    """Compute the number of resamples of a set: a twentieth of those of a mean, at least 20."""
    return max(_FEWEST_DRAWS, settings.resamples // _SET_SHARE)


def compare_sets(features: Tensor, truths: Tensor, settings: Settings) -> SetFigures:
    """Compare features (n, p, d) of results and of their truths; DataError for too few.

    Each resample draws results and truths of the same images.
    """
    drawn = draws(len(features), set_draws(settings), settings.seed)
    distances = _distances(features, truths, drawn, drawn)
    return SetFigures(*_separate(distances), _precision_recall(features, truths))


def compare_unpaired(features: Tensor, truths: Tensor, settings: Settings, *, seed: int) -> SetFigures:
    """Compare features (n, p, d) of results with those (m, p, d) of unpaired truths; DataError for too few.

    Results are resampled with the given seed, truths with that of the settings, so equally for every method. Precision
    is an average over results and recall over truths, so there are no values per image.
    """
    times = set_draws(settings)
    seeds = {"precision": seed, "recall": settings.seed}
    drawn = draws(len(features), times, seed), draws(len(truths), times, settings.seed)
    found = _distances(features, truths, *drawn)
    for key, inside in _precision_recall(features, truths).items():
        figure = mean_figure(inside, times=settings.resamples, seed=seeds[key])
        found[key] = figure, inside[draws(len(inside), settings.resamples, seeds[key])].mean(dim=1)
    return SetFigures(*_separate(found), {})


def _separate(pairs: Mapping[str, tuple[Figure, Tensor]]) -> tuple[dict[str, Figure], dict[str, Tensor]]:
    """Separate metrics from their resampled values."""
    return {key: figure for key, (figure, _) in pairs.items()}, {key: drawn for key, (_, drawn) in pairs.items()}


def _distances(features: Tensor, truths: Tensor, drawn: Tensor, true_drawn: Tensor) -> dict[str, tuple[Figure, Tensor]]:
    """Compute both distances and their resampled values for draws (t, n) and (t, m); DataError for too few."""
    for part in (features, truths):
        if (count := part.shape[0] * part.shape[1]) <= NEIGHBOURS:
            raise DataError(f"{count} patches are too few to compare features; give a smaller --patch")

    def distance(places: Tensor, true_places: Tensor) -> float:
        return frechet_distance(features[places].flatten(0, 1), truths[true_places].flatten(0, 1))

    value = distance(*(torch.arange(len(part)) for part in (features, truths)))
    values = torch.tensor([distance(*both) for both in zip(drawn, true_drawn, strict=True)], dtype=torch.float64)
    return {
        "distance": (around(value, values, len(features)), values),
        "kernel": _kernel_figure(features, truths, drawn, true_drawn),
    }


def _precision_recall(features: Tensor, truths: Tensor) -> dict[str, Tensor]:
    """Compute precision per result, (n,), and recall per truth, (m,): shares of features in the other manifold."""
    some, other = features.flatten(0, 1), truths.flatten(0, 1)
    inside = {"precision": inside_manifold(some, other), "recall": inside_manifold(other, some)}
    return {key: hits.double().reshape(-1, features.shape[1]).mean(dim=1) for key, hits in inside.items()}


def _kernel_figure(features: Tensor, truths: Tensor, drawn: Tensor, true_drawn: Tensor) -> tuple[Figure, Tensor]:
    """Compute the kernel distance, its interval and its resampled values, in one pass over the pairs."""
    weights = (_counts(places, len(part)) for places, part in ((drawn, features), (true_drawn, truths)))
    values = 1e3 * kernel_distances(features, truths, *weights)
    return around(float(values[0]), values[1:], len(features)), values[1:]


def _counts(drawn: Tensor, count: int) -> Tensor:
    """Count how often each image occurs: once in the set itself, then in each of the resamples."""
    return torch.stack([torch.bincount(places, minlength=count) for places in (torch.arange(count), *drawn)])


def score_logits(logits: Tensor, settings: Settings) -> tuple[Figure, Tensor]:
    """Compute the inception score of logits (n, p, classes), its interval and its resampled values."""
    return set_figure(
        lambda places: inception_score(logits[places].flatten(0, 1)),
        len(logits),
        times=set_draws(settings),
        seed=settings.seed,
    )
