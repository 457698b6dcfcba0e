"""The evaluation loop: image by image, method by method, then whole sets.

`evaluate` is a generator that yields progress and, last, the report. Images are evaluated one by one, in the order of
their names, so no metric depends on a batch size. Metrics of whole sets may need much time and memory, so a report
without them is yielded first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sr3.evaluation.aggregation import MethodResults, make_report, stacked
from sr3.evaluation.cases import Cases
from sr3.evaluation.intervals import mean_figure
from sr3.evaluation.measure import in_one_colour, measure, measure_truth
from sr3.evaluation.methods import Method, fitted
from sr3.evaluation.report import TRUTH, UNFINISHED, Report
from sr3.evaluation.sets import compare_sets, score_logits
from sr3.evaluation.settings import Networks, Settings
from sr3.metrics.features import check_lengths

__all__ = ["Progress", "evaluate"]


@dataclass(frozen=True)
class Progress:
    """The result of a method for a truth has been evaluated. done: number of results so far."""

    method: str
    picture: str
    done: int


def evaluate(
    cases: Cases, methods: Sequence[Method], networks: Networks, inputs: Mapping[str, Any]
) -> Iterator[Progress | Report]:
    """Evaluate every method on every truth; the last value is the report, the one before lacks metrics of whole sets.

    inputs: sources of the images, for the report. Raises ImageError, DataError and CheckpointError.
    """
    settings = cases.settings
    sources = {**inputs, "pictures": len(cases)}
    results = {method.name: MethodResults(cases.names, method.settings()) for method in methods}
    truths = MethodResults(cases.names, {"kind": "truth"})
    mixed: dict[str, int] = {}
    done = 0
    for name in cases.names:
        case = cases.case(name)
        truths.pictures.append(measure_truth(case, settings, networks))
        ends = truths.pictures[0].features, truths.pictures[-1].features
        check_lengths([features for features in ends if features is not None])
        for method in methods:
            is_class = settings.task == "classification"
            samples = fitted(method.samples(case), case, classification=is_class)
            samples, _, was_mixed = in_one_colour(samples, case)
            mixed[method.name] = mixed.get(method.name, 0) + was_mixed
            results[method.name].pictures.append(measure(samples, case, settings, networks))
            done += 1
            yield Progress(method.name, name, done)
    notes = [
        f"{method}: {count} results are grey and the truth in colour, or vice versa; grey was expanded to three "
        "equal channels"
        for method, count in mixed.items()
        if count
    ]
    if any(part.figures for part in truths.pictures) or truths.pictures[0].logits is not None:
        results = {TRUTH: truths, **results}
    for result in results.values():
        _average(result, _values_per_image(result), settings)
    if any(part.features is not None or part.logits is not None for part in truths.pictures):
        yield make_report(results, settings, networks, sources, [*notes, UNFINISHED])
    for result in results.values():
        _compare(result, None if result is truths else truths, settings)
    yield make_report(results, settings, networks, sources, notes)


def _values_per_image(result: MethodResults) -> dict[str, Tensor]:
    keys = {key for part in result.pictures for key in part.figures}
    return {
        key: torch.tensor([part.figures.get(key, float("nan")) for part in result.pictures], dtype=torch.float64)
        for key in keys
    }


def _average(result: MethodResults, values: Mapping[str, Tensor], settings: Settings) -> None:
    """Store values per image, and compute their means with intervals."""
    result.values.update(values)
    for key, figures in values.items():
        result.figures[key] = mean_figure(figures, times=settings.resamples, seed=settings.seed)


def _compare(result: MethodResults, truths: MethodResults | None, settings: Settings) -> None:
    """Compute metrics of the set, and the values per image that come with them."""
    features, logits = stacked(result, "features"), stacked(result, "logits")
    if truths is not None and features is not None and (true := stacked(truths, "features")) is not None:
        together = compare_sets(features, true, settings)
        result.figures.update(together.figures)
        result.drawn.update(together.drawn)
        _average(result, together.of_pictures, settings)
    if logits is not None:
        result.figures["inception"], result.drawn["inception"] = score_logits(logits, settings)
