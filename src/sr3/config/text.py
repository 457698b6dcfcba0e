"""Settings as users write them: a TOML file, and `a.b=value` on the command line."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from sr3.config.error_message import renamed
from sr3.config.migration import FORMAT, upgrade
from sr3.config.tree import Config
from sr3.config.unions import TAGS, has_section, of_kind
from sr3.errors import ConfigError
from sr3.parsing import parse_toml

__all__ = ["apply_settings", "read_saved", "read_toml"]


def read_toml(text: str, *, where: str) -> Config:
    """Parse settings from TOML; missing settings keep their defaults. The key `format` may give the file's format."""
    tree = _parsed(text, where)
    found = tree.pop("format", FORMAT)
    if found != FORMAT:
        raise ConfigError(
            f"{where}: has format {found}, and this version reads settings files of format {FORMAT}; rewrite it"
        )
    return Config.parse(tree, where=where)


def read_saved(text: str, *, where: str) -> Config:
    """Parse settings saved by a run as TOML, in any format; format 1 had no number. ConfigError as for `read_toml`."""
    tree = _parsed(text, where)
    return Config.parse(upgrade(tree, found=tree.pop("format", 1), where=where), where=where)


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return dict(parse_toml(text))
    except ValueError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error


def apply_settings(
    config: Config,
    settings: Sequence[str],
    *,
    where: str = "--set",
    complete: Callable[[dict[str, Any]], None] | None = None,
) -> Config:
    """Override settings with `a.b=value`; a value is TOML or a bare word. where: prefix of error messages.

    network.family and objective.kind are applied first, in any order: settings that the new variant also has are kept,
    its other settings get their defaults. complete: a function that modifies the tree of all settings before it is
    validated, for settings that follow from others.
    """
    tree = config.model_dump(mode="json", exclude_none=True)
    if "correct" not in config.sampling.model_fields_set:
        del tree["sampling"]["correct"]  # its default depends on data.scale
    split = [_split(setting) for setting in settings]
    for path, value in split:
        if path[1:] == [TAGS.get(path[0])] and value != tree[path[0]].get(path[1]):
            tree[path[0]] = of_kind(path[0], value, tree[path[0]])
    for path, value in split:
        _put(tree, path, value)
    if complete is not None:
        complete(tree)
    return Config.parse(tree, where=where)


def _split(setting: str) -> tuple[list[str], object]:
    path, equals, text = setting.partition("=")
    if not equals:
        raise ConfigError(f"--set {setting}: write it as section.name=value")
    if message := renamed(path.strip()):
        raise ConfigError(f"--set {setting}: {message}")
    return path.strip().split("."), _toml_value(text.strip())


def _put(tree: dict[str, Any], path: Sequence[str], value: object) -> None:
    branch = tree
    for depth, parent in enumerate(path[:-1]):
        below = branch.get(parent)
        if below is None and depth == 1 and has_section(path[0], tree[path[0]], parent):
            below = branch[parent] = {}
        if not isinstance(below, dict):
            raise ConfigError(
                f"--set {'.'.join(path)}: there is no section {parent}{_of_kind(tree, path[0]) if depth else ''}; the "
                f"sections are {', '.join(tree)}"
            )
        branch = cast(dict[str, Any], below)
    branch[path[-1]] = value


def _of_kind(tree: dict[str, Any], section: str) -> str:
    """Describe the variant of a section, if it has one."""
    tag = TAGS.get(section)
    return f" with {section}.{tag} {tree[section].get(tag)}" if tag else ""


def _toml_value(text: str) -> object:
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text
