"""A report as table cells, for the terminal and for the page."""

from collections.abc import Mapping
from typing import Any

from sr3.evaluation.report import FigureEntry, Number, Report

__all__ = ["cell", "difference_cell", "difference_rows", "heading", "report_rows"]

_ARROWS = {"higher": " ↑", "lower": " ↓", "target": "", "none": ""}


def heading(metric: Mapping[str, Any]) -> str:
    """Format the title of a metric with its unit and direction."""
    unit = f", {metric['unit']}" if metric["unit"] else ""
    target = f" → {metric['target']:.3g}" if metric["target"] is not None else ""
    return f"{metric['title']}{unit}{_ARROWS[metric['better']]}{target}"


def cell(entry: FigureEntry | None, metric: Mapping[str, Any]) -> str:
    """Format a metric with its interval, `26.41 [26.02, 26.80]`; an empty string for None."""
    return "" if entry is None else _written(entry, int(metric["digits"]), "")


def difference_cell(entry: FigureEntry | None, metric: Mapping[str, Any]) -> str:
    """Format a difference with its sign and interval."""
    return "" if entry is None else _written(entry, int(metric["digits"]), "+")


def report_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Lay out the metrics, one per row, with one method per column; returns headings and rows."""
    names = list(report.methods)
    rows = [
        [heading(metric), *(cell(report.methods[name].figures.get(key), metric) for name in names)]
        for key, metric in report.metrics.items()
    ]
    return ["", *names], rows


def difference_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Lay out the differences, one metric per row, with one pair of methods per column."""
    rows = [
        [heading(metric), *(difference_cell(part.figures.get(key), metric) for part in report.differences)]
        for key, metric in report.metrics.items()
        if any(key in part.figures for part in report.differences)
    ]
    return ["", *(f"{part.first} minus {part.second}" for part in report.differences)], rows


def _written(entry: FigureEntry, digits: int, sign: str) -> str:
    value = _shown(entry.value, digits, sign)
    if entry.low is None or entry.high is None:
        return value
    return f"{value} [{_shown(entry.low, digits, sign)}, {_shown(entry.high, digits, sign)}]"


def _shown(value: Number, digits: int, sign: str) -> str:
    return format(value, f"{sign}.{digits}f") if isinstance(value, float | int) else str(value)
