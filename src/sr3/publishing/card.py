"""Model cards: the text of a model's page on the Hugging Face Hub, with the metadata that the Hub reads.

Metadata: https://huggingface.co/docs/hub/model-cards. Figures are those of a report of `sr3 evaluate`, taken only from
an entry of exactly these weights, with their intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr3.checkpoint import ModelFile
from sr3.digest import digest_of_weights
from sr3.errors import ConfigError
from sr3.evaluation.report import FigureEntry, Report

__all__ = ["CardRequest", "build_card"]


@dataclass(frozen=True)
class CardRequest:
    """What a model file does not know of itself.

    license: identifier of the Hub, such as apache-2.0; None for a card that names none. datasets: data sets of the Hub
    that it was trained on. report: an evaluation of these weights. text: Markdown to use instead of the generated text.
    """

    license: str | None = None
    datasets: Sequence[str] = ()
    report: Report | None = None
    text: str | None = None


def build_card(file: ModelFile, repository: str, digest: str, request: CardRequest) -> str:
    """Write the card of a model as README.md of a repository: metadata as YAML, then the text.

    digest: SHA-256 of the model file. ConfigError when the report has no figures of these weights, or when the text
    has metadata of its own.
    """
    from huggingface_hub import ModelCardData

    if request.text is not None and request.text.lstrip().startswith("---"):
        raise ConfigError("--card: begins with metadata of its own; leave out what stands between --- and ---")
    figures = _figures(file, request.report)
    metadata: dict[str, Any] = {
        "library_name": "sr3",
        "pipeline_tag": "image-to-image" if _has_input(file) else "unconditional-image-generation",
        "tags": ["sr3", "diffusion", *(["super-resolution"] if file.info.config.data.scale > 1 else [])],
        "license": request.license,
        "datasets": list(request.datasets) or None,
        "metrics": list(figures) or None,
    }
    if request.report is not None:
        metadata |= {"model_name": file.info.name, "eval_results": _results(request.report, figures)}
    text = request.text or _text(file, repository, digest, request.report)
    return f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n\n{text.strip()}\n"


def _has_input(file: ModelFile) -> bool:
    return file.info.config.network.condition != "none"


def _figures(file: ModelFile, report: Report | None) -> dict[str, FigureEntry]:
    """Find the finite figures of these weights."""
    if report is None:
        return {}
    digest = digest_of_weights(file.weights)
    entries = [entry for entry in report.methods.values() if entry.settings.get("weights") == digest]
    if not entries:
        raise ConfigError(f"the report has no figures of {file.info.name} with these weights; evaluate this model")
    return {key: figure for key, figure in entries[0].figures.items() if not isinstance(figure.value, str)}


def _results(report: Report, figures: dict[str, FigureEntry]) -> list[Any]:
    """List the figures as results of the Hub's model index."""
    from huggingface_hub import EvalResult

    images = Path(str(report.inputs.get("truth", "images"))).name
    return [
        EvalResult(
            task_type="image-to-image",
            dataset_type=images,
            dataset_name=f"{images}, {report.inputs.get('pictures', '?')} images",
            metric_type=key,
            metric_value=figure.value,
            metric_name=_title(report, key),
        )
        for key, figure in figures.items()
    ]


def _title(report: Report, key: str) -> str:
    metric = report.metrics.get(key, {})
    return f"{metric.get('title', key)}{f', {unit}' if (unit := metric.get('unit')) else ''}"


def _text(file: ModelFile, repository: str, digest: str, report: Report | None) -> str:
    """Write the text of a card: what it is, how it is used, trained and measured, and its limits."""
    info, config = file.info, file.info.config
    parameters = sum(weight.numel() for weight in file.weights.values()) / 1e6
    channels = f"{info.condition_channels} to {info.image_channels}" if _has_input(file) else f"{info.image_channels}"
    rows = {
        "scale": config.data.scale,
        "channels": channels,
        "parameters": f"{parameters:.2f} million",
        "network": config.network.family,
        "objective": config.objective.kind,
        "optimiser steps": info.step,
        "sampling": f"{config.sampling.sampler}, {config.sampling.steps} steps",
        "SHA-256 of model.safetensors": f"`{digest}`",
    }
    parts = [
        f"# {info.name}\n\n{_summary(file)} Model of [SR3](https://arxiv.org/abs/2104.07636), made with `sr3`.",
        _use(file, repository),
        "## What it is\n\n| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        f"## Training data\n\n{info.data or 'Not stated.'}",
        _metrics(file, report),
        _limits(file),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(file: ModelFile) -> str:
    scale = file.info.config.data.scale
    if not _has_input(file):
        return "Draws images without an input."
    if scale == 1:
        return "Restores images in their own size: draws samples of the clean images that an image may come from."
    return f"Enlarges images {scale} times: draws samples of the large images that a small one may come from."


def _use(file: ModelFile, repository: str) -> str:
    if not _has_input(file):
        return f"## Use\n\n```sh\nsr3 generate --model hf:{repository} -o made/\n```"
    return (
        f"## Use\n\n```python\nimport sr3\nfrom PIL import Image\n\n"
        f'model = sr3.load("hf:{repository}")\nlarge = model.upscale(Image.open("photo.png"))\n```\n\n'
        f"```sh\nsr3 upscale photo.png --model hf:{repository}\n```\n\n"
        f"All settings are in the file: `sr3 inspect hf:{repository}`."
    )


def _metrics(file: ModelFile, report: Report | None) -> str:
    """Make the table of figures, with what they depend on."""
    if report is None:
        return ""
    rows = [
        f"| {_title(report, key)} | {_rounded(report, key, figure.value)} | "
        f"{_rounded(report, key, figure.low)} to {_rounded(report, key, figure.high)} | {figure.pictures} |"
        for key, figure in _figures(file, report).items()
    ]
    protocol = report.protocol
    return (
        f"## Metrics\n\n{report.inputs.get('pictures', '?')} images of "
        f"{Path(str(report.inputs.get('truth', ''))).name}, scale {protocol.get('scale')}, degradation "
        f"{protocol.get('degradation')}, {protocol.get('samples')} samples per image; means with 95 % intervals "
        "(bootstrap over images), by `sr3 evaluate`.\n\n| metric | value | interval | images |\n|---|---:|---|---:|\n"
        + "\n".join(rows)
    )


def _rounded(report: Report, key: str, value: float | str | None) -> str:
    digits = report.metrics.get(key, {}).get("digits", 3)
    return f"{value:.{digits}f}" if isinstance(value, float | int) else str(value or "?")


def _limits(file: ModelFile) -> str:
    if not _has_input(file):
        return ""
    return (
        "## Limits\n\nDetail finer than the pixels of the input is invented: plausible, different from seed to seed, "
        "and sometimes wrong. Do not use the results to identify people, to read what is unreadable, or as evidence. "
        f"The input must be like the training inputs (degradation: {file.info.config.data.degradation})."
    )
