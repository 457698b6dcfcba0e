"""Sections of settings that are told apart by a tag, and the settings that each value of the tag has."""

from collections.abc import Mapping

from sr3.config.network import FAMILIES
from sr3.config.objective import OBJECTIVES
from sr3.config.strict import Settings

__all__ = ["KINDS", "TAGS", "has_section", "of_kind"]

TAGS = {"network": "family", "objective": "kind"}
"""The setting that tells which settings its section has, by section."""

KINDS: Mapping[str, Mapping[str, type[Settings]]] = {"network": FAMILIES, "objective": OBJECTIVES}
"""The class of settings of every value of the tag, by section."""


def of_kind(section: str, kind: object, tree: Mapping[str, object]) -> dict[str, object]:
    """Give a section another tag: what the new kind has too is kept, and the rest is at its defaults.

    An unknown kind keeps everything, and is refused when the tree is checked.
    """
    known = KINDS[section].get(str(kind))
    kept = tree if known is None else {name: value for name, value in tree.items() if name in known.model_fields}
    return {**kept, TAGS[section]: kind}


def has_section(section: str, tree: Mapping[str, object], name: str) -> bool:
    """Tell whether a section of the kind that its tree says has a section of a name inside, with defaults."""
    kind = KINDS.get(section, {}).get(str(tree.get(TAGS.get(section, ""))))
    return kind is not None and name in kind.model_fields and isinstance(kind.model_fields[name].default, Settings)
