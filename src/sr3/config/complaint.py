"""What is wrong with settings, in one line: which setting, its value, the reason, and what it is called today."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from sr3.config.kinds import KINDS, TAGS

__all__ = ["RENAMED", "first_complaint", "renamed", "unknown_setting"]

RENAMED = {
    "denoiser.objective": "objective.kind",
    "denoiser.loss": "objective.loss",
    "denoiser.supervision": "objective.supervision",
    "adversary": "objective.adversary",
    "distillation": "objective",
}
"""Settings and sections of format 1, and what they are called since."""


def first_complaint(error: ValidationError) -> str:
    """Say in one line which setting is wrong first, and why; a setting that has another name today comes first."""
    details: Sequence[Any] = error.errors(include_url=False)
    named = [(_field(detail["loc"]), detail) for detail in details]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    for field, detail in named:
        if detail["type"] == "extra_forbidden" and (today := renamed(field)):
            return f"{today}{more}"
    field, first = named[0]
    if first["type"] == "extra_forbidden":
        return f"{unknown_setting(first['loc'])}{more}"
    reason = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    if first["type"] == "unknown_kind" and isinstance(value, Mapping):
        tag = TAGS[field]
        field, value = f"{field}.{tag}", cast(Mapping[str, object], value).get(tag)
    shown = "" if isinstance(value, Mapping) else f" = {json.dumps(value)}"
    place = f"{field}{shown}: " if field else ""
    return f"{place}{reason[0].lower()}{reason[1:]}{more}"


def renamed(field: str) -> str:
    """Say what a setting or section of format 1 is called today, or nothing."""
    for old, new in RENAMED.items():
        if field == old or field.startswith(f"{old}."):
            return f"{field} is now called {new}{field.removeprefix(old)}; rename it"
    return ""


def unknown_setting(loc: Sequence[str | int]) -> str:
    """Say that there is no such setting; of a section told apart by a tag, also which ones there are."""
    tagged = _tag(loc)
    if tagged is None or len(loc) != 3:
        return f"there is no setting {_field(loc)}; check the spelling"
    section, kind = tagged
    names = ", ".join(KINDS[section][kind].model_fields)
    return f"there is no setting {_field(loc)} with {section}.{TAGS[section]} {kind}, which has {names}"


def _field(loc: Sequence[str | int]) -> str:
    """Name a place as people write it, without the tag that pydantic puts after a section's name."""
    parts = [str(part) for part in loc]
    return ".".join(parts if _tag(loc) is None else [parts[0], *parts[2:]])


def _tag(loc: Sequence[str | int]) -> tuple[str, str] | None:
    if len(loc) > 1 and str(loc[1]) in KINDS.get(str(loc[0]), {}):
        return str(loc[0]), str(loc[1])
    return None
