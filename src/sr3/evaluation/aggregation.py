"""Aggregation of results per method into a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from sr3.evaluation.description import described, environment, protocol_of
from sr3.evaluation.intervals import Figure, around, mean_figure
from sr3.evaluation.measure import Measured
from sr3.evaluation.report import TRUTH, Difference, FigureEntry, MethodEntry, Report, number
from sr3.evaluation.settings import Networks, Settings
from sr3.metrics.registry import METRICS

__all__ = ["MethodResults", "make_report", "spread_places", "stacked"]


@dataclass
class MethodResults:
    """Results of a method, in the order of names.

    values: metrics per image, shape (n,). drawn: resampled values of metrics of the set.
    """

    names: Sequence[str]
    settings: Mapping[str, Any]
    pictures: list[Measured] = field(default_factory=list[Measured])
    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])
    drawn: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    values: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


def stacked(result: MethodResults, what: str) -> Tensor | None:
    """Stack features or logits of all images, (n, p, d); p is the smallest number of patches of an image."""
    parts: list[Tensor] = [part for picture in result.pictures if (part := getattr(picture, what)) is not None]
    if len(parts) < len(result.pictures):
        return None
    least = min(len(part) for part in parts)
    return torch.stack([part[spread_places(len(part), least)] for part in parts])


def spread_places(count: int, least: int) -> Tensor:
    """Select `least` of `count` patches, spread evenly, so that every image has the same weight."""
    return torch.tensor([int((k + 0.5) * count / least) for k in range(least)])


def make_report(
    results: Mapping[str, MethodResults],
    settings: Settings,
    networks: Networks,
    inputs: Mapping[str, Any],
    notes: Sequence[str],
) -> Report:
    """Build a report from results by method. inputs: sources of the images."""
    entries = {name: _entry(result) for name, result in results.items()}
    used = {key for entry in entries.values() for key in entry.figures}
    return Report(
        protocol=protocol_of(settings, networks),
        inputs=dict(inputs),
        environment=environment(),
        metrics={metric.key: described(metric, networks, settings) for metric in METRICS if metric.key in used},
        methods=entries,
        differences=_differences({name: result for name, result in results.items() if name != TRUTH}, settings),
        notes=list(notes),
    )


def _entry(result: MethodResults) -> MethodEntry:
    keys = [metric.key for metric in METRICS if metric.key in result.figures]
    pictures = {
        name: {key: number(float(result.values[key][place])) for key in keys if key in result.values}
        for place, name in enumerate(result.names)
    }
    ranks = [part.ranks for part in result.pictures if part.ranks is not None]
    return MethodEntry(
        settings=dict(result.settings),
        figures={key: _figure_entry(result.figures[key]) for key in keys},
        pictures=pictures,
        ranks=torch.stack(ranks).mean(dim=0).tolist() if ranks else [],
    )


def _figure_entry(figure: Figure) -> FigureEntry:
    ends = [None if end is None else number(end) for end in (figure.low, figure.high)]
    return FigureEntry(value=number(figure.value), low=ends[0], high=ends[1], pictures=figure.count)


def _differences(results: Mapping[str, MethodResults], settings: Settings) -> list[Difference]:
    """Compare every two methods: paired by image where there are values per image, else paired by resample."""
    found: list[Difference] = []
    for (first, one), (second, other) in combinations(results.items(), 2):
        figures: dict[str, FigureEntry] = {}
        for metric in METRICS:
            key = metric.key
            if key in one.values and key in other.values:
                apart = one.values[key] - other.values[key]
                figures[key] = _figure_entry(mean_figure(apart, times=settings.resamples, seed=settings.seed))
            elif key in one.drawn and key in other.drawn:
                value = one.figures[key].value - other.figures[key].value
                drawn = one.drawn[key] - other.drawn[key]
                figures[key] = _figure_entry(around(value, drawn, one.figures[key].count))
        found.append(Difference(first=first, second=second, figures=figures))
    return found
