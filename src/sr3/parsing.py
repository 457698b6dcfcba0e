"""JSON and TOML from outside: text nested too deeply for Python is refused like any other malformed text.

Knows no settings.
"""

import json
import tomllib
from collections.abc import Callable
from typing import Any, cast

__all__ = ["parse_json", "parse_toml"]

_DEPTH = 64
"""Levels of nesting, of which settings and reports have fewer than ten."""


def parse_json(text: str) -> Any:  # noqa: ANN401 (whatever it holds)
    """Parse JSON; ValueError for what is none, or nested too deeply."""
    return _parsed(json.loads, text)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML; ValueError for what is none, or nested too deeply."""
    return _parsed(tomllib.loads, text)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:  # noqa: ANN401
    try:
        value = parse(text)
    except RecursionError as error:
        raise ValueError(_complaint()) from error
    _check_depth(value)
    return value


def _complaint() -> str:
    return f"it is nested more than {_DEPTH} levels deep"


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise ValueError(_complaint())


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast(dict[str, object], value).values())
    return cast(list[object], value) if isinstance(value, list) else []
