"""An evaluation from beginning to end: picture by picture, method by method, then all together.

`evaluate` is a generator of what has been measured, its last value the report. Every picture is measured by itself,
so no figure depends on a batch, and pictures are taken in the order of their names. Before figures of whole sets, which
may take long and much memory, there is a report without them.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from sr3.evaluation.cases import CLASSIFICATION_SCALE, Cases
from sr3.evaluation.intervals import Figure, around, mean_figure
from sr3.evaluation.measure import Measured, in_one_colour, measure, measure_truth
from sr3.evaluation.methods import Method, fitted
from sr3.evaluation.report import TRUTH, Difference, FigureEntry, MethodEntry, Report, number
from sr3.evaluation.sets import compare_sets, score_logits
from sr3.evaluation.settings import Networks, Settings
from sr3.metrics.calibration import nominal_coverage
from sr3.metrics.features import INCEPTION, check_lengths
from sr3.metrics.registry import METRICS, Metric

__all__ = ["Progress", "described", "environment", "evaluate", "protocol_of"]

_RESIZER = "antialiased bicubic, Keys' kernel with a = -0.5, as Pillow's, in float"
_UNFINISHED = "not finished: figures of the whole set are still to come"
_PACKAGES = ("sr3", "torch", "numpy", "pillow")
_OPTIONAL = ("torchvision", "torchmetrics", "torch-fidelity", "onnxruntime", "spandrel", "timm")
"""Packages that networks come from, named where they are installed."""


@dataclass(frozen=True)
class Progress:
    """A method's answer to a truth has been measured; done is in answers."""

    method: str
    picture: str
    done: int


@dataclass
class _Tally:
    """What a method has given so far, a picture a place."""

    settings: Mapping[str, Any]
    pictures: list[Measured] = field(default_factory=list[Measured])
    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])
    drawn: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    values: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


def evaluate(
    cases: Cases, methods: Sequence[Method], networks: Networks, inputs: Mapping[str, Any]
) -> Iterator[Progress | Report]:
    """Measure every method on every truth; the last value is the report, one before it has no figures of whole sets.

    inputs: what the report says of where pictures came from. Raises the errors of pictures and networks.
    """
    settings = cases.settings
    tallies = {method.name: _Tally(method.settings()) for method in methods}
    truths = _Tally({"kind": "truth"})
    mixed: dict[str, int] = {}
    done = 0
    for name in cases.names:
        case = cases.case(name)
        truths.pictures.append(measure_truth(case, settings, networks))
        ends = truths.pictures[0].features, truths.pictures[-1].features
        check_lengths([features for features in ends if features is not None])
        for method in methods:
            is_class = settings.task == "classification"
            samples = fitted(method.samples(case), case, scale=settings.scale, classification=is_class)
            samples, _, was_mixed = in_one_colour(samples, case)
            mixed[method.name] = mixed.get(method.name, 0) + was_mixed
            tallies[method.name].pictures.append(measure(samples, case, settings, networks))
            done += 1
            yield Progress(method.name, name, done)
    notes = [
        f"{method}: {count} results are grey where the truth is in colour, or the other way round; grey was taken as "
        "three equal channels"
        for method, count in mixed.items()
        if count
    ]
    if any(part.figures for part in truths.pictures) or truths.pictures[0].logits is not None:
        tallies = {TRUTH: truths, **tallies}
    for tally in tallies.values():
        _average(tally, _figures_of_pictures(tally), settings)
    if any(part.features is not None or part.logits is not None for part in truths.pictures):
        yield _report(cases, tallies, networks, inputs, [*notes, _UNFINISHED])
    for tally in tallies.values():
        _compare(tally, None if tally is truths else truths, settings)
    yield _report(cases, tallies, networks, inputs, notes)


def _figures_of_pictures(tally: _Tally) -> dict[str, Tensor]:
    keys = {key for part in tally.pictures for key in part.figures}
    return {
        key: torch.tensor([part.figures.get(key, float("nan")) for part in tally.pictures], dtype=torch.float64)
        for key in keys
    }


def _average(tally: _Tally, values: Mapping[str, Tensor], settings: Settings) -> None:
    """Keep figures of pictures, and take their means with intervals."""
    tally.values.update(values)
    for key, figures in values.items():
        tally.figures[key] = mean_figure(figures, times=settings.resamples, seed=settings.seed)


def _compare(tally: _Tally, truths: _Tally | None, settings: Settings) -> None:
    """Take figures of the set, and what it says of each picture."""
    features, logits = _stacked(tally, "features"), _stacked(tally, "logits")
    if truths is not None and features is not None and (true := _stacked(truths, "features")) is not None:
        together = compare_sets(features, true, settings)
        tally.figures.update(together.figures)
        tally.drawn.update(together.drawn)
        _average(tally, together.of_pictures, settings)
    if logits is not None:
        tally.figures["inception"], tally.drawn["inception"] = score_logits(logits, settings)


def _stacked(tally: _Tally, what: str) -> Tensor | None:
    """Lay features or logits of all pictures together, (n, p, d); pictures of different sizes have no common p."""
    parts: list[Tensor] = [part for picture in tally.pictures if (part := getattr(picture, what)) is not None]
    if len(parts) < len(tally.pictures):
        return None
    least = min(len(part) for part in parts)
    return torch.stack([part[_spread_places(len(part), least)] for part in parts])


def _spread_places(count: int, least: int) -> Tensor:
    """Choose so many of the patches, spread evenly, that every picture counts alike."""
    return torch.tensor([int((k + 0.5) * count / least) for k in range(least)])


def _report(
    cases: Cases, tallies: Mapping[str, _Tally], networks: Networks, inputs: Mapping[str, Any], notes: Sequence[str]
) -> Report:
    entries = {name: _entry(cases, tally) for name, tally in tallies.items()}
    used = {key for entry in entries.values() for key in entry.figures}
    return Report(
        protocol=protocol_of(cases.settings, networks),
        inputs={**inputs, "pictures": len(cases)},
        environment=environment(),
        metrics={metric.key: described(metric, networks, cases.settings) for metric in METRICS if metric.key in used},
        methods=entries,
        differences=_differences({name: tally for name, tally in tallies.items() if name != TRUTH}, cases.settings),
        notes=list(notes),
    )


def _entry(cases: Cases, tally: _Tally) -> MethodEntry:
    keys = [metric.key for metric in METRICS if metric.key in tally.figures]
    pictures = {
        name: {key: number(float(tally.values[key][place])) for key in keys if key in tally.values}
        for place, name in enumerate(cases.names)
    }
    ranks = [part.ranks for part in tally.pictures if part.ranks is not None]
    return MethodEntry(
        settings=dict(tally.settings),
        figures={key: _figure_entry(tally.figures[key]) for key in keys},
        pictures=pictures,
        ranks=torch.stack(ranks).mean(dim=0).tolist() if ranks else [],
    )


def _figure_entry(figure: Figure) -> FigureEntry:
    ends = [None if end is None else number(end) for end in (figure.low, figure.high)]
    return FigureEntry(value=number(figure.value), low=ends[0], high=ends[1], pictures=figure.count)


def _differences(tallies: Mapping[str, _Tally], settings: Settings) -> list[Difference]:
    """Compare every two methods, picture by picture; figures of sets draw by draw, for the draws are the same."""
    found: list[Difference] = []
    for (first, one), (second, other) in combinations(tallies.items(), 2):
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


def described(metric: Metric, networks: Networks, settings: Settings) -> dict[str, Any]:
    """Say what a figure is, with the name of the network it was taken with."""
    target = nominal_coverage(settings.samples) if metric.key == "coverage" else metric.target
    return {
        "title": _title(metric, networks, settings),
        "unit": metric.unit,
        "better": metric.better,
        "target": target,
        "digits": metric.digits,
        "tolerance": metric.tolerance,
        "protocol": metric.protocol,
        "source": metric.source,
    }


def _title(metric: Metric, networks: Networks, settings: Settings) -> str:
    """Name a figure with its network; only of whole pictures, by Inception, the short names are right."""
    if "{network}" not in metric.title:
        return metric.title
    owners = {"perceptual": networks.perceptual, "inception": networks.scorer}
    owners |= dict.fromkeys(("top1", "top5"), networks.classifier)
    owner = owners.get(metric.key, networks.features)
    name = "" if owner is None else owner.name
    short = {"distance": "FID", "kernel": "KID", "inception": "IS"}
    is_usual = name == INCEPTION and settings.patch == 0 and metric.key in short
    return short[metric.key] if is_usual else metric.title.format(network=name)


def protocol_of(settings: Settings, networks: Networks) -> dict[str, Any]:
    """Give all that decides figures beside pictures and methods."""
    return {
        "colour": "values as stored, no profile applied; RGB, and Y of BT.601 in 16 to 235",
        "border": settings.border,
        "resizer": _RESIZER,
        "task": settings.task,
        "scale": CLASSIFICATION_SCALE if settings.task == "classification" else settings.scale,
        "degradation": settings.degradation,
        "patch": settings.patch,
        "samples": settings.samples,
        "seed": settings.seed,
        "intervals": f"95 %, bootstrap over pictures, {settings.resamples} draws",
        "feature network": _network(networks.features),
        "classifier": _network(networks.classifier),
        "classifier range": None if networks.classifier is None else networks.classifier.expects,
        "perceptual network": _network(networks.perceptual),
    }


def _network(network: Any) -> dict[str, str] | None:  # noqa: ANN401 (any of the three kinds)
    return None if network is None else {"name": network.name, "sha256": network.digest}


def environment() -> dict[str, str]:
    """Name versions and machine."""
    return {
        **{package: _version(package) or "not installed" for package in _PACKAGES},
        **{package: found for package in _OPTIONAL if (found := _version(package))},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def _version(package: str) -> str:
    """Look up the version of a package; nothing where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
