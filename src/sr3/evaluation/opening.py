"""From the arguments of `sr3 evaluate` to checked cases, methods and networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from sr3.checkpoint import read_model
from sr3.data.opening import open_source
from sr3.data.sources import NO_LABEL
from sr3.digest import digest_of_weights
from sr3.errors import ConfigError, DataError
from sr3.evaluation.cases import CLASSIFICATION_SCALE, Cases, open_cases
from sr3.evaluation.methods import FilterMethod, Method, ModelMethod, open_folder
from sr3.evaluation.naming import listed
from sr3.evaluation.pretrained import PREFIX, open_pretrained
from sr3.evaluation.report import INPUT, TRUTH
from sr3.evaluation.settings import Networks, Settings, Task
from sr3.images.resize import Filter
from sr3.metrics.classifiers import RANGES, Range, load_classifier
from sr3.metrics.distribution import NEIGHBOURS
from sr3.metrics.features import load_features
from sr3.metrics.perceptual import load_perceptual
from sr3.metrics.registry import METRICS
from sr3.runtime.device import choose_device, choose_dtype
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import Upscaler, load_upscaler
from sr3.zoo import find_model

__all__ = [
    "Evaluation",
    "Wanted",
    "WantedNetworks",
    "check_names",
    "load_networks",
    "named",
    "open_evaluation",
    "open_model",
    "parse_task",
    "parse_tolerances",
]

_FILTERS = ("bicubic", "lanczos")


@dataclass(frozen=True)
class WantedNetworks:
    """Networks by name or file."""

    features: str | None = None
    classifier: str | None = None
    classifier_range: str = "imagenet"
    perceptual: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be measured, as the user names it.

    results, models: NAME=PLACE, or PLACE alone, which is then called by its last part; of models, spandrel:FILE is one
    that spandrel reads. filters: names. first, most: only the first truths by name, and of those so many at most,
    spread evenly. steps and sampler: of all models that have steps, the models' own where not given.
    """

    truth: str
    inputs: str | None = None
    results: Sequence[str] = ()
    models: Sequence[str] = ()
    filters: Sequence[str] = ()
    steps: int | None = None
    sampler: str | None = None
    first: int | None = None
    most: int | None = None
    device: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True)
class Evaluation:
    """All that `evaluate` takes."""

    cases: Cases
    methods: Sequence[Method]
    networks: Networks
    inputs: Mapping[str, Any]


def open_evaluation(wanted: Wanted, networks: WantedNetworks, settings: Settings) -> Evaluation:
    """Open everything; ConfigError, DataError or CheckpointError for what does not fit or is not there."""
    results = [named(text) for text in wanted.results]
    models = [named(text) for text in wanted.models]
    check_names([*wanted.filters, *(name for name, _ in (*results, *models))])
    loaded = load_networks(networks)
    inputs = open_source(wanted.inputs) if wanted.inputs else None
    pretrained = [open_pretrained(name, where, device=wanted.device) for name, where in models if _is_foreign(where)]
    opened = {
        name: open_model(where, device=wanted.device, dtype=wanted.dtype)
        for name, where in models
        if not _is_foreign(where)
    }
    settings = _with_scale(settings, [upscaler for upscaler, _ in opened.values()], wanted)
    if pretrained and not (settings.scale or inputs):
        settings = replace(settings, scale=pretrained[0].scale)
    cases = open_cases(
        open_source(wanted.truth),
        wanted.truth,
        settings=settings,
        inputs=inputs,
        input_where=wanted.inputs or "",
        most=wanted.most,
        first=wanted.first,
    )
    settings = cases.settings
    scales = {name: upscaler.scale for name, (upscaler, _) in opened.items()} | {
        one.name: one.scale for one in pretrained
    }
    _check_scale(settings, scales, wanted)
    folders = [open_folder(name, where, open_source(where), cases, samples=settings.samples) for name, where in results]
    methods: list[Method] = [_filter(name, settings) for name in wanted.filters]
    methods += [*folders, *(_model(name, one, wanted, settings) for name, one in opened.items())]
    methods += pretrained
    about = {"truth": wanted.truth, "input": wanted.inputs or _made(settings)}
    _check_enough(cases, loaded)
    return Evaluation(cases, methods, loaded, about)


def parse_task(text: str) -> Task:
    """Read the name of a task; ConfigError when there is none."""
    if text not in get_args(Task):
        raise ConfigError(f"--task {text}: give one of {', '.join(get_args(Task))}")
    return cast("Task", text)


def parse_tolerances(texts: Sequence[str]) -> dict[str, float]:
    """Read KEY=NUMBER; ConfigError for unknown figures and for what is no number."""
    known = [metric.key for metric in METRICS]
    found: dict[str, float] = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            raise ConfigError(f"--tolerance {text}: write it as FIGURE=NUMBER, as psnr=0.01") from None
        if key not in known or not found[key] >= 0:
            raise ConfigError(f"--tolerance {text}: give one of {', '.join(known)} and a number from 0 on")
    return found


def named(text: str) -> tuple[str, str]:
    """Split NAME=PLACE; a place that exists or has no name is called by its last part."""
    name, equals, where = text.partition("=")
    place = Path(text.removeprefix(PREFIX))
    if not equals or place.exists():
        return place.stem if place.suffix in (".safetensors", ".tar", ".pth") else place.name or text, text
    if not name or not where:
        raise ConfigError(f"{text}: write it as NAME=PLACE, or PLACE alone")
    return name, where


def _is_foreign(where: str) -> bool:
    return where.startswith(PREFIX)


def check_names(names: Sequence[str]) -> None:
    """Refuse no method, two of one name and those whose name stands for something else, by ConfigError."""
    if not names:
        raise ConfigError("nothing to measure; give --pred DIR, --model NAME or --filter bicubic")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name}: is the name of two methods; call one differently by NAME=PLACE")
        if name in (TRUTH, INPUT):
            raise ConfigError(f"{name}: stands for the {name} itself; call the method differently by NAME=PLACE")


def load_networks(wanted: WantedNetworks) -> Networks:
    """Load what figures are taken with; ConfigError or CheckpointError when it is not there."""
    if wanted.classifier_range not in RANGES:
        raise ConfigError(f"--classifier-range {wanted.classifier_range}: give one of {', '.join(RANGES)}")
    expects = cast("Range", wanted.classifier_range)
    return Networks(
        load_features(wanted.features) if wanted.features else None,
        load_classifier(wanted.classifier, expects) if wanted.classifier else None,
        load_perceptual(wanted.perceptual) if wanted.perceptual else None,
    )


def _with_scale(settings: Settings, upscalers: Sequence[Upscaler], wanted: Wanted) -> Settings:
    """Take scale and degradation of the models where they are not given otherwise.

    ConfigError when they disagree, or learnt from inputs that came with the pictures and cannot be made.
    """
    kinds = {(upscaler.scale, upscaler.info.config.data.degradation) for upscaler in upscalers}
    if len(kinds) > 1:
        listed = ", ".join(f"x{scale} {degradation}" for scale, degradation in sorted(kinds))
        raise ConfigError(f"the models are made for different inputs ({listed}); measure them apart")
    if settings.task == "classification":
        return replace(settings, scale=CLASSIFICATION_SCALE)
    if not kinds:
        return settings
    scale, degradation = kinds.pop()
    if degradation == "paired" and wanted.inputs is None:
        raise ConfigError(
            "the models learnt from inputs that came with the pictures (data.degradation is paired), which cannot be "
            "made from truths; give --input"
        )
    return replace(settings, scale=settings.scale or scale, degradation=degradation)


def _check_scale(settings: Settings, scales: Mapping[str, int], wanted: Wanted) -> None:
    for name, scale in scales.items():
        if scale != settings.scale:
            raise ConfigError(f"{name}: enlarges x{scale}, but inputs are {settings.scale} times smaller")
    for name in wanted.filters:
        if name not in _FILTERS:
            raise ConfigError(f"--filter {name}: give one of {', '.join(_FILTERS)}")
        if settings.scale < 2:
            raise ConfigError(f"--filter {name}: has nothing to enlarge; give --input or --scale")


def _check_enough(cases: Cases, networks: Networks) -> None:
    """Refuse before the work what networks could not do after it."""
    if networks.features is not None and cases.settings.patch == 0 and len(cases) <= NEIGHBOURS:
        raise DataError(
            f"{len(cases)} pictures are too few to compare features; give at least {NEIGHBOURS + 1}, or --patch"
        )
    if networks.classifier is not None:
        without = [name for name in cases.names if cases.label(name) == NO_LABEL]
        if without:
            raise DataError(
                f"the class of {len(without)} pictures is not known ({listed(without)}); begin their names with "
                "it (281_cat.png), or give .cls files or members, as sr3 prepare imagenet makes them"
            )


def _filter(name: str, settings: Settings) -> FilterMethod:
    return FilterMethod(name, cast("Filter", name), settings.scale)


def open_model(where: str, *, device: str, dtype: str) -> tuple[Upscaler, str]:
    """Load a model of ours, and take the SHA-256 of its weights before a device and a type change them."""
    file = read_model(find_model(where))
    chosen = choose_device(device)
    upscaler = load_upscaler(file, device=chosen, dtype=choose_dtype(dtype, chosen))
    return upscaler, digest_of_weights(file.weights)


def _model(name: str, opened: tuple[Upscaler, str], wanted: Wanted, settings: Settings) -> ModelMethod:
    """Make a model a method; a regression answers in one call and always the same, a distilled one in its own steps."""
    info = opened[0].info
    if info.config.sampling.sampler == "regression":
        return ModelMethod(name, *opened, sampling_for(info), settings.seed, 1)
    if info.config.distillation is not None:
        return ModelMethod(name, *opened, sampling_for(info), settings.seed, settings.samples)
    sampling = sampling_for(info, steps=wanted.steps, sampler=wanted.sampler)
    return ModelMethod(name, *opened, sampling, settings.seed, settings.samples)


def _made(settings: Settings) -> str:
    return f"made from the truths, {settings.degradation}, {settings.scale} times smaller" if settings.scale else "none"
