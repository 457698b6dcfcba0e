"""The report of an evaluation as one JSON object: metrics, differences, and everything that they depend on.

It contains no time and no output path, so the same command on the same machine writes the same bytes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sr3.atomic import whole_file
from sr3.errors import ConfigError
from sr3.metrics.registry import METRICS
from sr3.parsing import parse_json

__all__ = [
    "FORMAT",
    "INPUT",
    "TRUTH",
    "UNFINISHED",
    "Difference",
    "FigureEntry",
    "MethodEntry",
    "Report",
    "check",
    "differing_settings",
    "read_report",
    "write_report",
]

FORMAT = 1
"""Version of the report format."""

UNFINISHED = "not finished: figures of the whole set are still to come"
"""Note of an intermediate report."""

INPUT, TRUTH = "input", "truth"
"""Reserved names; the second is the entry of the truths themselves."""

_LONG = 80
"""Maximum length of a displayed setting; longer ones are abbreviated in the middle."""

Number = float | str
"""A value; infinity and NaN, which JSON lacks, are the strings "inf", "-inf" and "nan"."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


class FigureEntry(_Strict):
    """The value of a metric, its 95 % interval and the number of images."""

    value: Number
    low: Number | None
    high: Number | None
    pictures: int


class MethodEntry(_Strict):
    """A method: settings, metrics by key, metrics per image, and ranks of the truths among its samples."""

    settings: dict[str, Any]
    figures: dict[str, FigureEntry]
    pictures: dict[str, dict[str, Number]]
    ranks: list[float] = []


class Difference(_Strict):
    """Metrics of the first method minus those of the second, paired by image."""

    first: str
    second: str
    figures: dict[str, FigureEntry]


class Report(_Strict):
    """The whole report."""

    format: int = FORMAT
    protocol: dict[str, Any]
    """What metrics depend on besides images and methods; reports are comparable only if it is the same."""
    inputs: dict[str, Any]
    """Sources of the images."""
    environment: dict[str, str]
    """Package versions and machine."""
    metrics: dict[str, dict[str, Any]]
    """Title, unit, direction, protocol and source of each metric."""
    methods: dict[str, MethodEntry]
    differences: list[Difference]
    notes: list[str] = []


@dataclass(frozen=True)
class Moved:
    """A metric that has changed; text describes the change in one line."""

    method: str
    key: str
    text: str


def number(value: float) -> Number:
    """Convert a value for JSON."""
    return value if math.isfinite(value) else str(value)


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON, atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(to_json(report), encoding="utf-8")


def to_json(report: Report) -> str:
    """Serialise a report, with keys in the order of their declaration."""
    return json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """Read a report; ConfigError when it is missing, damaged or of another version."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a report.json of sr3 evaluate") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error}); give a report.json of sr3 evaluate") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ConfigError(f"{path}: has format {found}, this version reads {FORMAT}; make the report again")
    try:
        return Report.model_validate(data)
    except ValueError as error:
        detail = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path}: is damaged ({detail}); make the report again") from error


def check(report: Report, expected: Report, tolerances: Mapping[str, float]) -> Sequence[Moved]:
    """Compare metrics with an earlier report; returns those that differ by more than the tolerance or are missing.

    tolerances: by key, in the unit of the metric; they override those of the registry. ConfigError when the reports
    differ in protocol or images, so that they are not comparable, or when the earlier one is not finished.
    """
    if UNFINISHED in expected.notes:
        raise ConfigError("the earlier report is not finished and lacks metrics; make it again")
    _check_comparable(report, expected)
    known = {metric.key: metric.tolerance for metric in METRICS}
    moved: list[Moved] = []
    for name, before in expected.methods.items():
        now = report.methods.get(name)
        if now is None:
            raise ConfigError(f"{name}: is in the earlier report but not in this evaluation; give the same methods")
        for key, figure in before.figures.items():
            tolerance = tolerances.get(key, known.get(key, 0.0))
            found = now.figures.get(key)
            if found is None:
                moved.append(Moved(name, key, f"{name}: {key} was {_shown(figure.value)}, is missing now"))
            elif not _close(found.value, figure.value, tolerance):
                text = f"{key} was {_shown(figure.value)}, is {_shown(found.value)}, tolerance {tolerance:g}"
                moved.append(Moved(name, key, f"{name}: {text}"))
    return moved


def differing_settings(report: Report, expected: Report) -> Sequence[str]:
    """List, one per line, the settings of methods that differ from those of an earlier report.

    Settings that the earlier report lacks are not compared.
    """
    lines: list[str] = []
    for name, before in expected.methods.items():
        settings = report.methods[name].settings if name in report.methods else before.settings
        for key, value in before.settings.items():
            now = settings.get(key, "missing")
            if now != value:
                lines.append(f"{name}: {key} was {_brief(value)}, is {_brief(now)}")
    return lines


def _brief(value: object) -> str:
    """Format a setting; long ones are abbreviated in the middle."""
    text = str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]}…{text[-_LONG // 2 :]}"


def _check_comparable(report: Report, expected: Report) -> None:
    for key in sorted(set(report.protocol) | set(expected.protocol)):
        now, before = report.protocol.get(key), expected.protocol.get(key)
        if now != before:
            raise ConfigError(f"the earlier report has another {key}: {before}, now {now}; use the same options")
    pictures = [{name: sorted(entry.pictures) for name, entry in one.methods.items()} for one in (report, expected)]
    for name in pictures[1]:
        if name in pictures[0] and pictures[0][name] != pictures[1][name]:
            raise ConfigError(f"{name}: the earlier report is of other images; evaluate the same ones")


def _close(now: Number, before: Number, tolerance: float) -> bool:
    if isinstance(now, float | int) and isinstance(before, float | int):
        return abs(now - before) <= tolerance
    return now == before


def _shown(value: Number) -> str:
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)
