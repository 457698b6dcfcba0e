"""Figures of all pictures together, by their features: distances, manifolds, the inception score."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.errors import DataError
from sr3.evaluation.intervals import Figure, around, draws, set_figure
from sr3.evaluation.settings import Settings
from sr3.metrics.classification import inception_score
from sr3.metrics.distribution import frechet_distance
from sr3.metrics.kernel import kernel_distances
from sr3.metrics.manifold import NEIGHBOURS, inside_manifold

__all__ = ["SetFigures", "compare_sets", "score_logits"]

_SET_SHARE = 20
_FEWEST_DRAWS = 20


@dataclass(frozen=True)
class SetFigures:
    """Figures of a set with what each bootstrap draw gave, and figures of its pictures, shape (n,)."""

    figures: Mapping[str, Figure]
    drawn: Mapping[str, Tensor]
    of_pictures: Mapping[str, Tensor]


def set_draws(settings: Settings) -> int:
    """Say how often a set is drawn anew: a twentieth of a mean's draws, at least 20."""
    return max(_FEWEST_DRAWS, settings.resamples // _SET_SHARE)


def compare_sets(features: Tensor, truths: Tensor, settings: Settings) -> SetFigures:
    """Compare features (n, p, d) of results and truths, picture by picture the same; DataError for too few.

    The draws take results and truths of the same pictures.
    """
    count, per_picture = features.shape[:2]
    if count * per_picture <= NEIGHBOURS:
        raise DataError(f"{count * per_picture} patches are too few to compare features; give a smaller --patch")

    def distance(places: Tensor) -> float:
        return frechet_distance(features[places].flatten(0, 1), truths[places].flatten(0, 1))

    pairs = {
        "distance": set_figure(distance, count, times=set_draws(settings), seed=settings.seed),
        "kernel": _kernel_figure(features, truths, settings),
    }
    some, other = features.flatten(0, 1), truths.flatten(0, 1)
    inside = {"precision": inside_manifold(some, other), "recall": inside_manifold(other, some)}
    of_pictures = {key: hits.double().reshape(count, per_picture).mean(dim=1) for key, hits in inside.items()}
    return SetFigures(
        {key: figure for key, (figure, _) in pairs.items()},
        {key: drawn for key, (_, drawn) in pairs.items()},
        of_pictures,
    )


def _kernel_figure(features: Tensor, truths: Tensor, settings: Settings) -> tuple[Figure, Tensor]:
    """Take the kernel distance, with its interval and draws, all of which one pass over the pairs gives."""
    count = len(features)
    drawn = draws(count, set_draws(settings), settings.seed)
    weights = torch.stack([torch.bincount(places, minlength=count) for places in (torch.arange(count), *drawn)])
    values = 1e3 * kernel_distances(features, truths, weights, weights)
    return around(float(values[0]), values[1:], count), values[1:]


def score_logits(logits: Tensor, settings: Settings) -> tuple[Figure, Tensor]:
    """Take the inception score of logits (n, p, classes), with its interval and draws."""
    return set_figure(
        lambda places: inception_score(logits[places].flatten(0, 1)),
        len(logits),
        times=set_draws(settings),
        seed=settings.seed,
    )
