"""One-line messages for invalid settings: the setting, its value, the reason and, if renamed, the current name."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from sr3.config.unions import KINDS, TAGS

__all__ = ["RENAMED", "first_error", "renamed", "unknown_setting"]

RENAMED = {
    "denoiser.objective": "objective.kind",
    "denoiser.loss": "objective.loss",
    "denoiser.supervision": "objective.supervision",
    "adversary": "objective.adversary",
    "distillation": "objective",
    "data.hide_class": "data.class_dropout",
    "objective.adversary.answers": "objective.adversary.samples",
    "objective.adversary.apart": "objective.adversary.diversity",
    "objective.adversary.begins": "objective.adversary.start_step",
    "objective.adversary.halvings": "objective.adversary.downsamplings",
    "objective.adversary.most_right": "objective.adversary.max_accuracy",
}
"""Settings and sections of earlier formats, and their current names."""


def first_error(error: ValidationError) -> str:
    """Describe the first invalid setting and the reason in one line; renamed settings are reported first."""
    details: Sequence[Any] = error.errors(include_url=False)
    named = [(_field(detail["loc"]), detail) for detail in details]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    for field, detail in named:
        if detail["type"] == "extra_forbidden" and (message := renamed(field)):
            return f"{message}{more}"
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
    """Describe what a setting or section of an earlier format is now called; an empty string if it was not renamed."""
    for old, new in RENAMED.items():
        if field == old or field.startswith(f"{old}."):
            return f"{field} is now called {new}{field.removeprefix(old)}; rename it"
    return ""


def unknown_setting(loc: Sequence[str | int]) -> str:
    """Say that a setting does not exist; in a section with a tag, also list the settings of the chosen variant."""
    tagged = _tag(loc)
    if tagged is None or len(loc) != 3:
        return f"there is no setting {_field(loc)}; check the spelling"
    section, kind = tagged
    names = ", ".join(KINDS[section][kind].model_fields)
    return f"there is no setting {_field(loc)} with {section}.{TAGS[section]} {kind}, which has {names}"


def _field(loc: Sequence[str | int]) -> str:
    """Name a setting as users write it, without the tag that pydantic inserts after the section."""
    parts = [str(part) for part in loc]
    return ".".join(parts if _tag(loc) is None else [parts[0], *parts[2:]])


def _tag(loc: Sequence[str | int]) -> tuple[str, str] | None:
    if len(loc) > 1 and str(loc[1]) in KINDS.get(str(loc[0]), {}):
        return str(loc[0]), str(loc[1])
    return None
