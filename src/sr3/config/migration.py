"""Migration of saved settings from earlier formats to the current one, by pure functions, one per format.

Format 1 had one set of settings for all networks, most of which had no effect for most families; the objective was
spread over `[denoiser]`, `[adversary]` and `[distillation]`. Format 2 had other names for a few settings. The module
handles trees only, not models or files.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sr3.errors import ConfigError

__all__ = ["FORMAT", "upgrade"]

FORMAT = 3
"""Format that this version writes; it reads formats from 1 to this one."""

Tree = Mapping[str, Any]


def upgrade(tree: Tree, *, found: object, where: str) -> dict[str, Any]:
    """Convert a tree of settings from format `found` to the current one; the input is not modified.

    Raises ConfigError for a format that this version cannot read.
    """
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ConfigError(f"{where}: has format {found}, this version reads 1 to {FORMAT}; upgrade sr3")
    result = dict(tree)
    for step in _STEPS[found - 1 :]:
        result = step(result)
    return result


_U_NET_1 = (
    "width", "multipliers", "blocks", "attention", "features", "dropout", "stem", "condition", "condition_level",
    "classes", "checkpointing",
)  # fmt: skip
_KEPT_1: Mapping[str, Mapping[str, str]] = {
    "biggan": {name: name for name in (*_U_NET_1, "head_width", "guide")},
    "ddpm": {name: name for name in (*_U_NET_1, "groups")},
    "fsrcnn": {"width": "width", "inner": "inner", "blocks": "layers"},
    "drcn": {"width": "width", "blocks": "recursions"},
    "rcan": {"width": "width", "groups": "groups", "blocks": "blocks", "inner": "attention_width"},
    "enet": {"width": "width", "blocks": "blocks"},
    "span": {"width": "width", "blocks": "blocks"},
}
"""Settings of format 1 that a family used, and their names in format 2."""
_DEFAULTS_1 = {"width": 128, "blocks": 3, "groups": 32, "inner": 12}
"""Defaults of format 1, for families whose defaults have changed since."""


def _from_1(tree: Tree) -> dict[str, Any]:
    """Keep only the network settings that the family uses, and move the objective to its own section."""
    result = {**tree, "network": _network_from_1(tree.get("network", {})), **_objective_from_1(tree)}
    if "mean" in tree:
        mean = tree["mean"]
        result["mean"] = {**mean, "network": _network_from_1(mean["network"])} if "network" in mean else mean
    for gone in ("adversary", "distillation"):
        result.pop(gone, None)
    return result


def _network_from_1(network: Tree) -> dict[str, Any]:
    family = network.get("family", "biggan")
    kept = _KEPT_1.get(family)
    if kept is None:
        return dict(network)
    known = network if family in ("biggan", "ddpm") else {**_DEFAULTS_1, **network}
    unknown = {name: value for name, value in network.items() if name not in _ALL_1}
    return {"family": family, **{new: known[old] for old, new in kept.items() if old in known}, **unknown}


_ALL_1 = {"family", *(name for kept in _KEPT_1.values() for name in kept)}


def _objective_from_1(tree: Tree) -> dict[str, Any]:
    denoiser = dict(tree.get("denoiser", {}))
    kind = denoiser.pop("objective", "denoising")
    objective: dict[str, Any] = {"kind": kind}
    if "loss" in denoiser:
        objective["loss"] = denoiser.pop("loss")
    supervision = denoiser.pop("supervision", None)
    if supervision is not None and kind == "regression":
        objective["supervision"] = supervision
    if kind == "distillation":
        objective |= tree.get("distillation", {})
    if "adversary" in tree and kind != "denoising":
        objective["adversary"] = dict(tree["adversary"])
    return {"denoiser": denoiser, "objective": objective}


_RENAMED_2: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("data",): {"hide_class": "class_dropout"},
    ("objective", "adversary"): {
        "answers": "samples",
        "apart": "diversity",
        "begins": "start_step",
        "halvings": "downsamplings",
        "most_right": "max_accuracy",
    },
}
"""Settings of format 2 by section, and their names in format 3."""


def _from_2(tree: Tree) -> dict[str, Any]:
    """Rename settings; their values stay."""
    result = dict(tree)
    for section, names in _RENAMED_2.items():
        result = _renamed(result, section, names)
    return result


def _renamed(tree: Tree, section: tuple[str, ...], names: Mapping[str, str]) -> dict[str, Any]:
    if not section:
        return {names.get(name, name): value for name, value in tree.items()}
    first, *below = section
    inner = tree.get(first)
    return {**tree, first: _renamed(inner, tuple(below), names)} if isinstance(inner, Mapping) else dict(tree)


_STEPS: tuple[Callable[[Tree], dict[str, Any]], ...] = (_from_1, _from_2)
"""Migrations from format 1 to 2, from 2 to 3, and so on."""
