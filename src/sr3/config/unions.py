"""Sections of settings that are tagged unions, and the settings class of each tag value."""

from collections.abc import Mapping

from sr3.config.network import FAMILIES
from sr3.config.objective import OBJECTIVES
from sr3.config.strict import Settings

__all__ = ["KINDS", "TAGS", "has_section", "of_kind"]

TAGS = {"network": "family", "objective": "kind"}
"""The setting that selects the variant, by section."""

KINDS: Mapping[str, Mapping[str, type[Settings]]] = {"network": FAMILIES, "objective": OBJECTIVES}
"""The settings class of each tag value, by section."""


def of_kind(section: str, kind: object, tree: Mapping[str, object]) -> dict[str, object]:
    """Change the tag of a section: settings that the new kind also has are kept, all others return to defaults.

    An unknown kind keeps everything; validation rejects it later.
    """
    known = KINDS[section].get(str(kind))
    kept = tree if known is None else {name: value for name, value in tree.items() if name in known.model_fields}
    return {**kept, TAGS[section]: kind}


def has_section(section: str, tree: Mapping[str, object], name: str) -> bool:
    """Whether the variant selected in a section's tree has a nested section `name` with defaults."""
    kind = KINDS.get(section, {}).get(str(tree.get(TAGS.get(section, ""))))
    return kind is not None and name in kind.model_fields and isinstance(kind.model_fields[name].default, Settings)
