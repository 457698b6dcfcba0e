"""A plot of proportions with confidence intervals as SVG, with the chance level. Does not depend on the study."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Bar", "plot_shares"]

_ROW, _WIDTH, _TOP, _BOTTOM = 26, 520, 44, 34
_LETTER = 7.2
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Bar(NamedTuple):
    """A proportion, its interval, and a note on the sample size."""

    label: str
    share: float
    low: float
    high: float
    note: str


def plot_shares(title: str, bars: Sequence[Bar]) -> str:
    """Draw proportions from 0 to 1, one per row; the dashed line is chance level, one half."""
    left = 24 + _LETTER * max((len(bar.label) for bar in bars), default=0)
    right = 24 + _LETTER * max((len(bar.note) for bar in bars), default=0)
    below = _TOP + _ROW * len(bars)
    width, height = left + _WIDTH + right, below + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height}" fill="#fff"/>',
        f'<text x="{left:.1f}" y="22" font-weight="600" font-size="15">{escape(title)}</text>',
        *(_tick(left + tick * _WIDTH, tick, below) for tick in _TICKS),
        *(_bar(bar, left, _TOP + _ROW * (row + 0.5)) for row, bar in enumerate(bars)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _tick(x: float, share: float, below: float) -> str:
    stroke = 'stroke="#777" stroke-dasharray="4 4"' if share == 0.5 else 'stroke="#ddd"'
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{below + 4}" {stroke}/>'
    return f'{line}<text x="{x:.1f}" y="{below + 22}" text-anchor="middle" fill="#555">{share:.0%}</text>'


def _bar(bar: Bar, left: float, y: float) -> str:
    low, middle, high = (left + value * _WIDTH for value in (bar.low, bar.share, bar.high))
    return (
        f'<text x="{left - 12:.1f}" y="{y + 4.5:.1f}" text-anchor="end">{escape(bar.label)}</text>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#2f6db5" stroke-width="2.5"/>'
        f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="4.5" fill="#2f6db5"/>'
        f'<text x="{left + _WIDTH + 14:.1f}" y="{y + 4.5:.1f}" fill="#555">{escape(bar.note)}</text>'
    )
