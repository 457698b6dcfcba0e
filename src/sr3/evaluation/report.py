"""The report of an evaluation as one JSON object: metrics, differences, and everything that decided them.

It holds no time and no place of its own, so the same command on the same machine writes the same bytes.
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
"""Version of the file this code writes and reads."""

UNFINISHED = "not finished: figures of the whole set are still to come"
"""Note of a report that another will replace."""

INPUT, TRUTH = "input", "truth"
"""Names that no method may have: the second is the row of the truths themselves."""

_LONG = 80
"""Characters of a setting above which its middle is left out of a line."""

Number = float | str
"""A figure; infinite ones and NaN are the strings "inf", "-inf" and "nan", for JSON has none."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


class FigureEntry(_Strict):
    """A figure with its 95 % interval and the number of pictures it is of."""

    value: Number
    low: Number | None
    high: Number | None
    pictures: int


class MethodEntry(_Strict):
    """A method: its settings, its figures by key, those of each picture, and the ranks of truths among its samples."""

    settings: dict[str, Any]
    figures: dict[str, FigureEntry]
    pictures: dict[str, dict[str, Number]]
    ranks: list[float] = []


class Difference(_Strict):
    """Figures of the first method less those of the second, picture by picture the same."""

    first: str
    second: str
    figures: dict[str, FigureEntry]


class Report(_Strict):
    """What was measured, how, and with what."""

    format: int = FORMAT
    protocol: dict[str, Any]
    """What decides figures beside pictures and methods; two reports compare only where it is the same."""
    inputs: dict[str, Any]
    """Where pictures came from."""
    environment: dict[str, str]
    """Versions and machine."""
    metrics: dict[str, dict[str, Any]]
    """Title, unit, direction, protocol and source of each figure."""
    methods: dict[str, MethodEntry]
    differences: list[Difference]
    notes: list[str] = []


@dataclass(frozen=True)
class Moved:
    """A figure that is not what it was; text says it in one line."""

    method: str
    key: str
    text: str


def number(value: float) -> Number:
    """Make a figure fit for JSON."""
    return value if math.isfinite(value) else str(value)


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON; path is whole and new, or as it was before."""
    with whole_file(path) as temporary:
        temporary.write_text(to_json(report), encoding="utf-8")


def to_json(report: Report) -> str:
    """Lay a report out, its keys in the order in which they are declared."""
    return json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """Read a report; ConfigError when there is none, or it is damaged or of another version."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a report.json of sr3 evaluate") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON ({error}); give a report.json of sr3 evaluate") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ConfigError(f"{path}: has format {found}, this version reads {FORMAT}; make the report anew")
    try:
        return Report.model_validate(data)
    except ValueError as error:
        detail = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path}: is damaged ({detail}); make the report anew") from error


def check(report: Report, expected: Report, tolerances: Mapping[str, float]) -> Sequence[Moved]:
    """Compare figures with those of an earlier report: what moved by more than its tolerance, or went missing.

    tolerances: by key, in the figure's unit, in the place of the registry's. ConfigError when the two were made in
    different ways or of other pictures, so that figures cannot be compared, or when the earlier one is not finished.
    """
    if UNFINISHED in expected.notes:
        raise ConfigError("the earlier report is not finished, so it lacks figures; make it anew")
    _check_same_way(report, expected)
    known = {metric.key: metric.tolerance for metric in METRICS}
    moved: list[Moved] = []
    for name, before in expected.methods.items():
        now = report.methods.get(name)
        if now is None:
            raise ConfigError(f"{name}: is in the earlier report, but is not measured now; give the same methods")
        for key, figure in before.figures.items():
            tolerance = tolerances.get(key, known.get(key, 0.0))
            found = now.figures.get(key)
            if found is None:
                moved.append(Moved(name, key, f"{name}: {key} was {_shown(figure.value)}, is no longer measured"))
            elif not _close(found.value, figure.value, tolerance):
                text = f"{key} was {_shown(figure.value)}, is {_shown(found.value)}, tolerance {tolerance:g}"
                moved.append(Moved(name, key, f"{name}: {text}"))
    return moved


def differing_settings(report: Report, expected: Report) -> Sequence[str]:
    """Say, in a line for each, which settings of a method are not those of an earlier report.

    Settings that the earlier report does not tell are not compared.
    """
    lines: list[str] = []
    for name, before in expected.methods.items():
        settings = report.methods[name].settings if name in report.methods else before.settings
        for key, value in before.settings.items():
            now = settings.get(key, "not told")
            if now != value:
                lines.append(f"{name}: {key} was {_brief(value)}, is {_brief(now)}")
    return lines


def _brief(value: object) -> str:
    """Write a setting, a long one by its beginning and end."""
    text = str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]}…{text[-_LONG // 2 :]}"


def _check_same_way(report: Report, expected: Report) -> None:
    for key in sorted(set(report.protocol) | set(expected.protocol)):
        now, before = report.protocol.get(key), expected.protocol.get(key)
        if now != before:
            raise ConfigError(f"the earlier report has another {key}: {before}, now {now}; measure in the same way")
    pictures = [{name: sorted(entry.pictures) for name, entry in one.methods.items()} for one in (report, expected)]
    for name in pictures[1]:
        if name in pictures[0] and pictures[0][name] != pictures[1][name]:
            raise ConfigError(f"{name}: the earlier report is of other pictures; measure the same ones")


def _close(now: Number, before: Number, tolerance: float) -> bool:
    if isinstance(now, float | int) and isinstance(before, float | int):
        return abs(now - before) <= tolerance
    return now == before


def _shown(value: Number) -> str:
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)
