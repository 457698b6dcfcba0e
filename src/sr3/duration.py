"""Durations as people write them, such as 25m and 1h30m."""

import re

from sr3.errors import ConfigError

__all__ = ["format_duration", "parse_duration"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Read 90s, 25m, 1.5h, 2d or 1h30m as seconds; ConfigError for anything else."""
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        raise ConfigError(f"{text}: not a length of time; write it like 90s, 25m, 12h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", text))


def format_duration(seconds: float) -> str:
    """Write seconds as 45 s, 12 min, 3 h 05 min or, from three days on, 12.3 days."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds >= 3 * _UNITS["d"]:
        return f"{seconds / _UNITS['d']:,.1f} days"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
