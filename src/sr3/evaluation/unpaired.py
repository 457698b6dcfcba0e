"""Evaluation of unpaired sets, such as generated images.

Only metrics of whole sets are computed, from features or classes. Names, counts and sizes of images may differ, and
only the features of an image are kept in memory. The evaluation of pairs does not depend on this module.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sr3.data.opening import open_source
from sr3.data.sources import Source
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, DataError
from sr3.evaluation.aggregation import MethodResults, make_report, spread_places, stacked
from sr3.evaluation.cases import read_image
from sr3.evaluation.inputs import NetworkNames, Request, check_names, load_networks, named
from sr3.evaluation.matching import files_of, some_of
from sr3.evaluation.measure import measure_alone
from sr3.evaluation.outputs import centre_crop, write_html
from sr3.evaluation.page import SHOWN, make_sets_page
from sr3.evaluation.report import TRUTH, Report
from sr3.evaluation.run import Progress
from sr3.evaluation.sets import compare_unpaired, score_logits
from sr3.evaluation.settings import Networks, Settings
from sr3.metrics.distribution import NEIGHBOURS
from sr3.metrics.features import check_lengths
from sr3.types import Image

__all__ = ["PictureSet", "Sets", "evaluate_sets", "open_sets", "write_sets_page"]

_MATCHING = {"matching": "none, sets of any images"}
"""Part of the protocol, so that a report of sets is never compared with one of pairs."""

_EXAMPLES = 6
"""Maximum number of images per set on the page."""


@dataclass(frozen=True)
class PictureSet:
    """Images in the order of their names."""

    name: str
    where: str
    source: Source
    places: Mapping[str, int]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.places)

    def settings(self) -> dict[str, Any]:
        """Describe the folder and the number of its images."""
        return {"kind": "pictures", "where": self.where, "samples": 1, "count": len(self)}

    def picture(self, name: str) -> Image:
        """Read an image, (1, c, h, w); DataError for channels that the networks do not accept."""
        image, _ = read_image(self.source, self.places[name])
        if len(image) not in (1, 3):
            where = self.source.name(self.places[name])
            raise DataError(f"{where}: has {len(image)} channels; networks accept grey and colour only, so remove it")
        return image[None]


@dataclass(frozen=True)
class Sets:
    """Real images and the sets to compare with them."""

    truths: PictureSet
    results: Sequence[PictureSet]
    networks: Networks
    settings: Settings

    def __len__(self) -> int:
        """Count all images."""
        return len(self.truths) + sum(len(one) for one in self.results)


def open_sets(request: Request, networks: NetworkNames, settings: Settings) -> Sets:
    """Open all sets; ConfigError, DataError or CheckpointError when one is missing or options contradict each other."""
    _check_options(request, networks, settings)
    results = [named(text) for text in request.results]
    check_names([name for name, _ in results])
    loaded = load_networks(networks)
    if loaded.features is not None and loaded.features.views is not None and loaded.classifier is not None:
        raise ConfigError(
            f"--classifier {networks.classifier}: is not used, because the inception score is computed with "
            f"{loaded.features.name}; give one of the two"
        )
    truths, *others = (_open_set(name, where, request) for name, where in ((TRUTH, request.truth), *results))
    sets = Sets(truths, others, loaded, settings)
    for one in (truths, *others):
        _check_enough(one, sets)
    return sets


def evaluate_sets(sets: Sets) -> Iterator[Progress | Report]:
    """Compute the features of every image, then compare each set with the truths; the last value is the report."""
    everything = (sets.truths, *sets.results)
    results = {one.name: MethodResults(list(one.places), one.settings()) for one in everything}
    truths = results[TRUTH]
    done = 0
    for one in everything:
        for name in one.places:
            measured = measure_alone(one.picture(name), sets.settings, sets.networks)
            results[one.name].pictures.append(measured)
            both = truths.pictures[0].features, measured.features
            check_lengths([features for features in both if features is not None])
            done += 1
            yield Progress(one.name, name, done)
    for number, one in enumerate(everything):
        _compare(results[one.name], truths, sets.settings, mix_seed(sets.settings.seed, number))
    shown = {name: result for name, result in results.items() if result.figures}
    about = {"truth": sets.truths.where, "input": "none", "pictures": len(sets)}
    report = make_report(shown, sets.settings, sets.networks, about, _notes(sets, results))
    yield report.model_copy(update={"protocol": {**_MATCHING, **report.protocol}})


def write_sets_page(folder: Path, report: Report, sets: Sets) -> Path:
    """Write the page of a report of sets, reading its images again; returns its path."""
    gallery = {
        one.name: {
            name: centre_crop(one.picture(name), SHOWN) for name in some_of(list(one.places), _EXAMPLES, first=len(one))
        }
        for one in (sets.truths, *sets.results)
    }
    return write_html(folder, make_sets_page(report, gallery))


def _compare(result: MethodResults, truths: MethodResults, settings: Settings, seed: int) -> None:
    """Compute the metrics of a set with its own seed; for the truths, only those that need no comparison."""
    features, true = (stacked(one, "features") for one in (result, truths))
    if result is not truths and features is not None and true is not None:
        size = min(features.shape[1], true.shape[1])
        together = compare_unpaired(_evened(features, size), _evened(true, size), settings, seed=seed)
        result.figures.update(together.figures)
        result.drawn.update(together.drawn)
    if (logits := stacked(result, "logits")) is not None:
        scored = score_logits(logits, replace(settings, seed=seed))
        result.figures["inception"], result.drawn["inception"] = scored


def _evened(features: Tensor, size: int) -> Tensor:
    """Select the same number of patches per image, (n, size, d)."""
    return features[:, spread_places(features.shape[1], size)]


def _notes(sets: Sets, results: Mapping[str, MethodResults]) -> list[str]:
    """Note sets with fewer features than feature dimensions, and sets of different counts."""
    notes: list[str] = []
    for name, result in results.items():
        features = [part.features for part in result.pictures if part.features is not None]
        if features and sum(map(len, features)) < features[0].shape[1]:
            notes.append(
                f"{name}: has fewer features than feature dimensions ({features[0].shape[1]}), so distances are biased "
                "upwards, equally only for sets of the same count; give more images"
            )
    counts = sorted({len(one) for one in sets.results})
    if sets.networks.features is not None and len(counts) > 1:
        listed = ", ".join(map(str, counts))
        notes.append(f"the sets have different counts ({listed}), which biases distances; compare sets of equal count")
    return notes


def _open_set(name: str, where: str, request: Request) -> PictureSet:
    source = open_source(where)
    places = files_of(source)
    kept = some_of(list(places), request.most, first=request.first)
    return PictureSet(name, where, source, {one: places[one] for one in kept})


def _check_options(request: Request, networks: NetworkNames, settings: Settings) -> None:
    """Raise ConfigError for options that need pairs, and when there is no network."""
    if request.models or request.filters:
        option = "--model" if request.models else "--filter"
        raise ConfigError(
            f"{option}: does not go with --unpaired, which compares existing images; write them by sr3 generate "
            "or sr3 upscale and give their folder by --pred"
        )
    if not request.results:
        raise ConfigError("nothing to evaluate; give --pred DIR")
    paired = {
        "--input": request.inputs is not None,
        "--scale": settings.scale != 0,
        "--steps": request.steps is not None,
        "--sampler": request.sampler is not None,
        "--samples": settings.samples != 1,
        "--border": settings.border != 0,
        "--task": settings.task != "plain",
        "--perceptual": networks.perceptual is not None,
        "--opensr": networks.opensr,
    }
    for option, is_given in paired.items():
        if is_given:
            raise ConfigError(f"{option}: does not go with --unpaired, which compares whole sets only; remove it")
    if networks.features is None and networks.classifier is None:
        raise ConfigError("--unpaired: needs a network to compare sets; give --features inception, or --classifier NET")


def _check_enough(one: PictureSet, sets: Sets) -> None:
    """Raise DataError early when a set has too few images."""
    if sets.networks.features is not None and sets.settings.patch == 0 and len(one) <= NEIGHBOURS:
        raise DataError(
            f"{one.where}: {len(one)} images are too few to compare features; give at least {NEIGHBOURS + 1}, or "
            "--patch"
        )
    if len(one) < 2:
        raise DataError(f"{one.where}: one image is too few for metrics of a set; give more")
