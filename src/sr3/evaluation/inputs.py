"""The inputs of an evaluation: cases, methods and networks, from the arguments of `sr3 evaluate`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from sr3.checkpoint import read_model
from sr3.config import Config
from sr3.data.opening import open_source
from sr3.data.sources import NO_LABEL
from sr3.digest import digest_of_weights
from sr3.errors import ConfigError, DataError
from sr3.evaluation.cases import CLASSIFICATION_SCALE, Cases, open_cases
from sr3.evaluation.matching import listed
from sr3.evaluation.methods import FilterMethod, Method, ModelMethod, open_folder
from sr3.evaluation.pretrained import PREFIX, open_pretrained
from sr3.evaluation.report import INPUT, TRUTH
from sr3.evaluation.settings import Networks, Settings, Task
from sr3.images.resize import Filter
from sr3.metrics.classifiers import RANGES, Range, load_classifier
from sr3.metrics.distribution import NEIGHBOURS
from sr3.metrics.features import load_features
from sr3.metrics.opensr import load_opensr
from sr3.metrics.perceptual import load_perceptual
from sr3.metrics.registry import METRICS
from sr3.runtime.device import choose_device, choose_dtype
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import Upscaler, load_upscaler
from sr3.zoo import find_model

__all__ = [
    "Evaluation",
    "NetworkNames",
    "Request",
    "check_names",
    "load_networks",
    "named",
    "open_evaluation",
    "open_model",
    "parse_task",
    "parse_tolerances",
    "warn_of_teachers",
]

_FILTERS = ("bicubic", "lanczos")


@dataclass(frozen=True)
class NetworkNames:
    """Networks, given by name or file."""

    features: str | None = None
    classifier: str | None = None
    classifier_range: str = "imagenet"
    perceptual: str | None = None
    opensr: bool = False


@dataclass(frozen=True)
class Request:
    """What to evaluate, as given on the command line.

    results, models: NAME=PATH, or PATH, whose last part is then the name. A model spandrel:FILE is loaded by spandrel.
    filters: names of interpolation filters. first: use only the first truths by name. most: use at most this many of
    them, spread evenly. steps, sampler: for all models with sampling steps; None keeps the settings of the models.
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
    """The arguments of `sr3.evaluation.run.evaluate`."""

    cases: Cases
    methods: Sequence[Method]
    networks: Networks
    inputs: Mapping[str, Any]


def open_evaluation(request: Request, networks: NetworkNames, settings: Settings) -> Evaluation:
    """Open all inputs; ConfigError, DataError or CheckpointError when one is missing or they do not match."""
    results = [named(text) for text in request.results]
    models = [named(text) for text in request.models]
    check_names([*request.filters, *(name for name, _ in (*results, *models))])
    loaded = load_networks(networks)
    inputs = open_source(request.inputs) if request.inputs else None
    pretrained = [open_pretrained(name, where, device=request.device) for name, where in models if _is_foreign(where)]
    opened = {
        name: open_model(where, device=request.device, dtype=request.dtype)
        for name, where in models
        if not _is_foreign(where)
    }
    settings = _with_scale(settings, [upscaler for upscaler, _ in opened.values()], request)
    if pretrained and not (settings.scale or inputs):
        settings = replace(settings, scale=pretrained[0].scale)
    cases = open_cases(
        open_source(request.truth),
        request.truth,
        settings=settings,
        inputs=inputs,
        input_where=request.inputs or "",
        most=request.most,
        first=request.first,
    )
    settings = cases.settings
    scales = {name: upscaler.scale for name, (upscaler, _) in opened.items()} | {
        one.name: one.scale for one in pretrained
    }
    _check_scale(settings, scales, request)
    folders = [open_folder(name, where, open_source(where), cases, samples=settings.samples) for name, where in results]
    methods: list[Method] = [_filter(name, settings) for name in request.filters]
    methods += [*folders, *(_model(name, one, request, settings) for name, one in opened.items())]
    methods += pretrained
    about = {"truth": request.truth, "input": request.inputs or _describe_degradation(settings)}
    _check_enough(cases, loaded)
    warn_of_teachers({name: upscaler.info.config for name, (upscaler, _) in opened.items()}, networks)
    return Evaluation(cases, methods, loaded, about)


def warn_of_teachers(models: Mapping[str, Config], networks: NetworkNames) -> None:
    """Warn of models that were trained on the network that now measures them."""
    measuring = {name for name in (networks.features, networks.classifier, networks.perceptual) if name}
    for name, config in models.items():
        adversary = config.adversary
        taught = set() if adversary is None else {adversary.features, *adversary.projected}
        for network in sorted(measuring & taught):
            warnings.warn(
                f"{name} was trained against {network}, so its metrics by that network are too good", stacklevel=2
            )


def parse_task(text: str) -> Task:
    """Parse the name of a task; ConfigError for an unknown one."""
    if text not in get_args(Task):
        raise ConfigError(f"--task {text}: give one of {', '.join(get_args(Task))}")
    return cast("Task", text)


def parse_tolerances(texts: Sequence[str]) -> dict[str, float]:
    """Parse KEY=NUMBER; ConfigError for unknown metrics and for values that are not numbers."""
    known = [metric.key for metric in METRICS]
    found: dict[str, float] = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            raise ConfigError(f"--tolerance {text}: write it as METRIC=NUMBER, such as psnr=0.01") from None
        if key not in known or not found[key] >= 0:
            raise ConfigError(f"--tolerance {text}: give one of {', '.join(known)} and a number of at least 0")
    return found


def named(text: str) -> tuple[str, str]:
    """Split NAME=PATH into name and path; a path that exists or has no name is named by its last part."""
    name, equals, where = text.partition("=")
    place = Path(text.removeprefix(PREFIX))
    if not equals or place.exists():
        return place.stem if place.suffix in (".safetensors", ".tar", ".pth") else place.name or text, text
    if not name or not where:
        raise ConfigError(f"{text}: write it as NAME=PATH, or PATH alone")
    return name, where


def _is_foreign(where: str) -> bool:
    return where.startswith(PREFIX)


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError when there is no method, or when a name is used twice or is reserved."""
    if not names:
        raise ConfigError("nothing to evaluate; give --pred DIR, --model NAME or --filter bicubic")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name}: is the name of two methods; rename one by NAME=PATH")
        if name in (TRUTH, INPUT):
            raise ConfigError(f"{name}: is reserved for the {name} itself; rename the method by NAME=PATH")


def load_networks(request: NetworkNames) -> Networks:
    """Load the networks of the metrics; ConfigError or CheckpointError when one is not available."""
    if request.classifier_range not in RANGES:
        raise ConfigError(f"--classifier-range {request.classifier_range}: give one of {', '.join(RANGES)}")
    expects = cast("Range", request.classifier_range)
    return Networks(
        load_features(request.features) if request.features else None,
        load_classifier(request.classifier, expects) if request.classifier else None,
        load_perceptual(request.perceptual) if request.perceptual else None,
        load_opensr() if request.opensr else None,
    )


def _with_scale(settings: Settings, upscalers: Sequence[Upscaler], request: Request) -> Settings:
    """Take the scale and the degradation from the models unless they are given.

    ConfigError when models differ in them, or when they were trained on given inputs, which cannot be made from truths.
    """
    kinds = {(upscaler.scale, upscaler.info.config.data.degradation) for upscaler in upscalers}
    if len(kinds) > 1:
        listed = ", ".join(f"x{scale} {degradation}" for scale, degradation in sorted(kinds))
        raise ConfigError(f"the models are for different inputs ({listed}); evaluate them separately")
    if settings.task == "classification":
        return replace(settings, scale=CLASSIFICATION_SCALE)
    if not kinds:
        return settings
    scale, degradation = kinds.pop()
    if degradation == "paired" and request.inputs is None:
        raise ConfigError(
            "the models were trained on paired inputs (data.degradation is paired), which cannot be made "
            "from truths; give --input"
        )
    return replace(settings, scale=settings.scale or scale, degradation=degradation)


def _check_scale(settings: Settings, scales: Mapping[str, int], request: Request) -> None:
    for name, scale in scales.items():
        if scale != settings.scale:
            raise ConfigError(
                f"{name}: has scale {scale}, but the inputs are {settings.scale} times smaller; give matching inputs"
            )
    for name in request.filters:
        if name not in _FILTERS:
            raise ConfigError(f"--filter {name}: give one of {', '.join(_FILTERS)}")
        if settings.scale < 2:
            raise ConfigError(f"--filter {name}: has no input to enlarge; give --input or --scale")


def _check_enough(cases: Cases, networks: Networks) -> None:
    """Raise DataError early when there are too few images, or no classes, for the metrics of networks."""
    if networks.features is not None and cases.settings.patch == 0 and len(cases) <= NEIGHBOURS:
        raise DataError(
            f"{len(cases)} images are too few to compare features; give at least {NEIGHBOURS + 1}, or --patch"
        )
    if networks.classifier is not None:
        without = [name for name in cases.names if cases.label(name) == NO_LABEL]
        if without:
            raise DataError(
                f"the class of {len(without)} images is unknown ({listed(without)}); start their names with "
                "it (281_cat.png), or give .cls files or members, as sr3 prepare imagenet makes them"
            )


def _filter(name: str, settings: Settings) -> FilterMethod:
    return FilterMethod(name, cast("Filter", name), settings.scale)


def open_model(where: str, *, device: str, dtype: str) -> tuple[Upscaler, str]:
    """Load a model of sr3, and compute the SHA-256 of its weights before they are converted."""
    file = read_model(find_model(where))
    chosen = choose_device(device)
    upscaler = load_upscaler(file, device=chosen, dtype=choose_dtype(dtype, chosen))
    return upscaler, digest_of_weights(file.weights)


def _model(name: str, opened: tuple[Upscaler, str], request: Request, settings: Settings) -> ModelMethod:
    """Build the method of a model; a regression has one sample, and a distilled model keeps its own steps."""
    info = opened[0].info
    if info.config.sampling.sampler == "regression":
        return ModelMethod(name, *opened, sampling_for(info), settings.seed, 1)
    if info.config.distillation is not None:
        return ModelMethod(name, *opened, sampling_for(info), settings.seed, settings.samples)
    sampling = sampling_for(info, steps=request.steps, sampler=request.sampler)
    return ModelMethod(name, *opened, sampling, settings.seed, settings.samples)


def _describe_degradation(settings: Settings) -> str:
    return f"made from the truths, {settings.degradation}, {settings.scale} times smaller" if settings.scale else "none"
