"""A report as one self-contained HTML file: tables, worst, median and best images, and plots."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sr3.evaluation.charts import COLOURS, per_picture_chart, rank_chart
from sr3.evaluation.report import TRUTH, FigureEntry, Report
from sr3.evaluation.table import cell, difference_cell, heading
from sr3.images.files import to_pillow
from sr3.types import Image

__all__ = ["SHOWN", "Gallery", "Shown", "make_page", "make_sets_page", "picks"]

SHOWN = 256
"""Maximum side in pixels of a displayed truth; larger images are cropped to their centre."""

PLACES = ("worst", "median", "best")

Shown = Mapping[str, Image]
"""Images of one case: the input, the result of every method, and the truth, by name."""

Gallery = Mapping[str, Shown]
"""Images by the name of their truth; for unpaired sets, by set and then by name."""

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem } h3 { font-size: 1rem; margin-bottom: .3rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
td small { opacity: .7 } td.best { font-weight: 600; background: var(--soft) } td.clear { font-weight: 600 }
.row { display: flex; gap: .6rem; overflow-x: auto; margin: .3rem 0 1.2rem }
figure { margin: 0 } figure img { display: block; width: 16rem; height: auto; image-rendering: pixelated }
figcaption { font-size: .8rem; max-width: 16rem; overflow-wrap: anywhere }
svg { width: 100%; max-width: 60rem; height: auto; font-size: 11px; fill: currentColor }
.grid { stroke: var(--line); stroke-width: 1 } .level { stroke: currentColor; stroke-dasharray: 5 4 }
.key i { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; border-radius: 2px }
pre { overflow-x: auto; background: var(--soft); padding: .7rem; font-size: .8rem }
"""


def picks(report: Report) -> Mapping[str, Mapping[str, str]]:
    """Select the worst, median and best image of every method, by perceptual distance or PSNR."""
    key = ranked_by(report)
    chosen: dict[str, dict[str, str]] = {}
    for method, entry in report.methods.items():
        values = {name: float(row[key]) for name, row in entry.pictures.items() if key in row}
        if method == TRUTH or not values:
            continue
        sign = -1 if report.metrics[key]["better"] == "lower" else 1
        order = sorted(values, key=lambda name, of=values: (sign * of[name], name))
        chosen[method] = dict(zip(PLACES, (order[0], order[(len(order) - 1) // 2], order[-1]), strict=True))
    return chosen


def ranked_by(report: Report) -> str:
    """Return the key of the metric by which images are ranked."""
    return "perceptual" if "perceptual" in report.metrics else "psnr"


def make_page(report: Report, gallery: Gallery) -> str:
    """Render a report as HTML, with the images that `picks` selects."""
    methods = [name for name in report.methods if name != TRUTH]
    return _page(report, [_pictures(report, gallery), _plots(report, methods)])


def make_sets_page(report: Report, gallery: Gallery) -> str:
    """Render a report of unpaired sets as HTML, with some images of each set."""
    return _page(report, [_examples(gallery)])


def _page(report: Report, shown: Sequence[str]) -> str:
    """Build the page: tables, images and plots, settings."""
    title = escape(", ".join(name for name in report.methods if name != TRUTH))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>sr3 evaluate: {title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1>",
        f"<p>{report.inputs['pictures']} images. Means with 95 % bootstrap intervals over images.</p>",
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        _metrics(report),
        _differences(report),
        *shown,
        _about(report),
    ]
    return "\n".join(parts) + "</html>\n"


def _metrics(report: Report) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in report.methods)
    rows: list[str] = []
    for key, metric in report.metrics.items():
        best = best_of(report, key)
        cells = ""
        for name, entry in report.methods.items():
            mark = ' class="best"' if name in best else ""
            cells += f"<td{mark}>{_small_interval(cell(entry.figures.get(key), metric))}</td>"
        rows.append(f'<tr><td title="{escape(str(metric["protocol"]))}">{escape(heading(metric))}</td>{cells}</tr>')
    return f"<h2>Metrics</h2><div class=wide><table><tr><th></th>{head}</tr>{''.join(rows)}</table></div>"


def best_of(report: Report, key: str) -> Sequence[str]:
    """List the methods with the best value, without the truth; none if fewer than two methods have one."""
    metric = report.metrics[key]
    found = {
        name: float(entry.figures[key].value)
        for name, entry in report.methods.items()
        if name != TRUTH and key in entry.figures
    }
    if len(found) < 2 or metric["better"] == "none" or (metric["better"] == "target" and metric["target"] is None):
        return ()
    losses = {
        "higher": lambda value: -value,
        "lower": lambda value: value,
        "target": lambda value: abs(value - metric["target"]),
    }
    loss = losses[metric["better"]]
    least = min(loss(value) for value in found.values())
    return [name for name, value in found.items() if loss(value) == least]


def _differences(report: Report) -> str:
    if not report.differences:
        return ""
    head = "".join(f"<th>{escape(part.first)} minus {escape(part.second)}</th>" for part in report.differences)
    rows: list[str] = []
    for key, metric in report.metrics.items():
        entries = [part.figures.get(key) for part in report.differences]
        if not any(entries):
            continue
        cells = ""
        for entry in entries:
            mark = ' class="clear"' if entry is not None and is_clear(entry) else ""
            cells += f"<td{mark}>{_small_interval(difference_cell(entry, metric))}</td>"
        rows.append(f"<tr><td>{escape(heading(metric))}</td>{cells}</tr>")
    how = "Each set against the same truths" if "matching" in report.protocol else "Paired by image"
    text = f"<p>{how}. Bold: the interval does not contain 0.</p>"
    return f"<h2>Differences</h2>{text}<div class=wide><table><tr><th></th>{head}</tr>{''.join(rows)}</table></div>"


def is_clear(entry: FigureEntry) -> bool:
    """Return whether the interval of a difference excludes 0."""
    if entry.low is None or entry.high is None:
        return False
    return float(entry.low) > 0 or float(entry.high) < 0


def _small_interval(text: str) -> str:
    value, bracket, interval = text.partition(" [")
    return f"{escape(value)} <small>[{escape(interval)}</small>" if bracket else escape(text)


def _pictures(report: Report, gallery: Gallery) -> str:
    key = ranked_by(report)
    parts = [
        f"<h2>Images</h2><p>By {escape(heading(report.metrics[key]))}; centre crops of at most {SHOWN} pixels.</p>"
    ]
    chosen: dict[str, list[str]] = {}
    for method, places in picks(report).items():
        for place, name in places.items():
            chosen.setdefault(name, []).append(f"{place} of {method}")
    for name, reasons in chosen.items():
        parts.append(f"<h3>{escape(name)}: {escape(', '.join(reasons))}</h3><div class=row>")
        for what, image in gallery[name].items():
            value = f", {cell_of_picture(report, what, name, key)}" if what in picks(report) else ""
            parts.append(
                f'<figure><img src="{_inlined(image)}" alt="{escape(f"{what} of {name}")}"><figcaption>'
                f"{escape(what)}{value}</figcaption></figure>"
            )
        parts.append("</div>")
    return "\n".join(parts)


def _examples(gallery: Gallery) -> str:
    parts = [f"<h2>Images</h2><p>Spread evenly over the names; centre crops of at most {SHOWN} pixels.</p>"]
    for name, shown in gallery.items():
        figures = "".join(
            f'<figure><img src="{_inlined(image)}" alt="{escape(what)}">'
            f"<figcaption>{escape(what)}</figcaption></figure>"
            for what, image in shown.items()
        )
        parts.append(f"<h3>{escape(name)}</h3><div class=row>{figures}</div>")
    return "\n".join(parts)


def cell_of_picture(report: Report, method: str, name: str, key: str) -> str:
    """Format a metric of one image."""
    value = report.methods[method].pictures[name][key]
    return f"{value:.{report.metrics[key]['digits']}f}" if isinstance(value, float | int) else str(value)


def _inlined(image: Image) -> str:
    pixels = image[0] if image.shape[1] in (1, 3) else image[0, : 3 if image.shape[1] > 3 else 1]
    buffer = io.BytesIO()
    to_pillow(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _plots(report: Report, methods: Sequence[str]) -> str:
    key = "".join(
        f'<i style="background:{COLOURS[number % len(COLOURS)]}"></i>{escape(name)}'
        for number, name in enumerate(methods)
    )
    parts = [f"<h2>Metrics per image</h2><p class=key>{key}</p>"]
    for figure, metric in report.metrics.items():
        values = {name: _finite(report, name, figure) for name in methods}
        if figure in ("top1", "top5") or not any(values.values()):
            continue
        chart = per_picture_chart(values, digits=int(metric["digits"]))
        parts.append(f"<h3>{escape(heading(metric))}</h3>{chart}")
    ranks = {name: report.methods[name].ranks for name in methods if report.methods[name].ranks}
    if ranks:
        parts.append(f"<h3>Ranks of the truth among samples</h3>{rank_chart(ranks)}")
    return "\n".join(parts)


def _finite(report: Report, method: str, key: str) -> dict[str, float]:
    rows = report.methods[method].pictures
    found = {name: row.get(key) for name, row in rows.items()}
    return {name: value for name, value in found.items() if isinstance(value, float | int) and math.isfinite(value)}


def _about(report: Report) -> str:
    metrics = "".join(
        f"<tr><td>{escape(heading(metric))}</td><td style='text-align:left;white-space:normal'>"
        f"{escape(str(metric['protocol']))}. {escape(str(metric['source']))}</td></tr>"
        for metric in report.metrics.values()
    )
    settings: dict[str, Any] = {name: entry.settings for name, entry in report.methods.items() if name != TRUTH}
    sections = {
        "protocol": report.protocol,
        "inputs": report.inputs,
        "environment": report.environment,
        "methods": settings,
    }
    lines = [f"{part}: {key} = {value}" for part, content in sections.items() for key, value in content.items()]
    listed = escape("\n".join(lines))
    return f"<h2>Metrics and settings</h2><div class=wide><table>{metrics}</table></div><pre>{listed}</pre>"
