"""Plots as SVG without a plotting library: metrics per image, and rank histograms.

Every mark has a title, which browsers show as a tooltip. Colours are the colour-blind-safe palette of Okabe and Ito;
line patterns differ too.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["COLOURS", "per_picture_chart", "rank_chart"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#000000")
_DASHES = ("", "6 3", "2 2", "8 3 2 3")
_WIDTH, _HEIGHT, _LEFT, _BELOW, _ABOVE = 720, 220, 64, 24, 10


def per_picture_chart(values: Mapping[str, Mapping[str, float]], *, digits: int) -> str:
    """Plot a metric per image, one line per method, images sorted by the values of the first method.

    values: finite values by method, then by image. Images without a value of the first method come last.
    """
    first = next(iter(values.values()))
    order = sorted(
        dict.fromkeys(name for line in values.values() for name in line), key=lambda name: first.get(name, math.inf)
    )
    everything = [value for line in values.values() for value in line.values()]
    low, high = min(everything), max(everything)
    places = {name: _across(place, len(order)) for place, name in enumerate(order)}
    parts = [_axis(low, high, digits)]
    for number, (method, line) in enumerate(values.items()):
        dots = [(places[name], _up(line[name], low, high), name) for name in order if name in line]
        colour, dash = COLOURS[number % len(COLOURS)], _DASHES[number % len(_DASHES)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in dots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-dasharray="{dash}"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{escape(name)}, {escape(method)}: '
            f"{line[name]:.{digits}f}</title></circle>"
            for x, y, name in dots
        ]
    parts.append(_caption("images, sorted by the first method"))
    return _svg(parts, "Metric per image")


def rank_chart(ranks: Mapping[str, Sequence[float]]) -> str:
    """Plot the share of truths at each rank among k samples, one series of bars per method; uniform is calibrated."""
    count = max(len(shares) for shares in ranks.values())
    top = max(max(max(shares) for shares in ranks.values()), 1 / count) * 1.05
    parts = [_axis(0.0, top, 2)]
    room = (_WIDTH - _LEFT) / count
    for number, (method, shares) in enumerate(ranks.items()):
        width = room * 0.8 / len(ranks)
        for rank, share in enumerate(shares):
            x, y = _LEFT + rank * room + room * 0.1 + number * width, _up(share, 0.0, top)
            bar = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HEIGHT - _BELOW - y:.1f}"'
            text = f"{escape(method)}: {share:.3f} of the truth above {rank} of {len(shares) - 1} samples"
            parts.append(f'{bar} fill="{COLOURS[number % len(COLOURS)]}"><title>{text}</title></rect>')
    level = _up(1 / count, 0.0, top)
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{level:.1f}" y2="{level:.1f}" class="level"/>')
    parts.append(_caption("rank of the truth among the samples; dashed line: calibrated"))
    return _svg(parts, "Ranks of the truth among samples")


def _axis(low: float, high: float, digits: int) -> str:
    """Draw three horizontal grid lines with their values."""
    lines: list[str] = []
    for value in (low, (low + high) / 2, high):
        y = _up(value, low, high)
        lines.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>')
    return "".join(lines)


def _caption(text: str) -> str:
    return f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 5}" text-anchor="middle">{escape(text)}</text>'


def _across(place: int, count: int) -> float:
    return _LEFT + (place + 0.5) / count * (_WIDTH - _LEFT)


def _up(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low and math.isfinite(value) else 0.5
    return _HEIGHT - _BELOW - share * (_HEIGHT - _BELOW - _ABOVE)


def _svg(parts: Sequence[str], label: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>'
