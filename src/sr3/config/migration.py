"""Settings that earlier versions saved, brought to today's format by pure functions, one for each step.

Format 1 had one set of settings for all networks, of which most meant nothing to most families; what is learnt stood in
`[denoiser]`, `[adversary]` and `[distillation]`. The file knows trees alone: no model, no file.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sr3.errors import ConfigError

__all__ = ["FORMAT", "upgrade"]

FORMAT = 2
"""Version of the settings that this code writes; it reads 1 to this."""

Tree = Mapping[str, Any]


def upgrade(tree: Tree, *, found: object, where: str) -> dict[str, Any]:
    """Bring a tree of settings of a format to today's; the tree itself stays as it is.

    Raises ConfigError for a format that this version does not read.
    """
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ConfigError(f"{where}: has format {found}, this version reads 1 to {FORMAT}; upgrade sr3")
    result = dict(tree)
    for step in _STEPS[found - 1 :]:
        result = step(result)
    return result


def _from_1(tree: Tree) -> dict[str, Any]:
    """Gather what is learnt in the section objective."""
    result = dict(tree)
    adversary, taught = result.pop("adversary", None), result.pop("distillation", None)
    denoiser = dict(result.get("denoiser", {}))
    kind = denoiser.pop("objective", "denoising")
    objective: dict[str, Any] = {"kind": kind}
    if "loss" in denoiser:
        objective["loss"] = denoiser.pop("loss")
    supervision = denoiser.pop("supervision", None)
    if supervision is not None and kind == "regression":
        objective["supervision"] = supervision
    if kind == "distillation":
        objective |= taught or {}
    if adversary is not None and kind != "denoising":
        objective["adversary"] = dict(adversary)
    return {**result, "denoiser": denoiser, "objective": objective}


_STEPS: tuple[Callable[[Tree], dict[str, Any]], ...] = (_from_1,)
"""From format 1 to 2, from 2 to 3, and so on."""
