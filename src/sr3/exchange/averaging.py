"""The average of the weights of several models, as one model file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sr3.checkpoint import ModelFile, ModelInfo, read_model, write_model
from sr3.errors import CheckpointError
from sr3.exchange.joining import is_half
from sr3.sampling.filling import build_filled
from sr3.zoo import find_model

__all__ = ["average"]

_SECTIONS: Any = {
    "data": {"scale", "enlarged"},
    "objective": {"kind"},
    **dict.fromkeys(("network", "denoiser", "schedule", "mean", "restoration"), True),
}
_FREE = ("name", "margin")
"""Settings of these sections that do not change what is computed."""
_LONGEST = 16


def average(models: Sequence[str], target: Path) -> ModelInfo:
    """Write a model whose weights are the mean of those of two or more models; returns what it says of itself.

    Models, as those that one training was continued to from another, are found by name, path, run folder or address.
    Settings, such as those of sampling, and what it was trained on are those of the first; measured results are left
    out. Weights are kept in half precision where all files have it. Raises CheckpointError when models do not fit, or
    the disk refuses.
    """
    files = [read_model(find_model(model)) for model in models]
    first = files[0]
    for other, name in zip(files[1:], models[1:], strict=True):
        _check(first, other, names=(models[0], name))
    weights = {
        name: torch.stack([file.weights[name].double() for file in files]).mean(0).float() for name in first.weights
    }
    info = first.info.model_copy(
        update={"name": target.stem, "step": max(file.info.step for file in files), "results": {}}
    )
    build_filled(ModelFile(info, weights), torch.device("cpu"))
    write_model(
        target, info, weights, dtype=torch.float16 if all(is_half(file.weights) for file in files) else torch.float32
    )
    return info


def _check(first: ModelFile, other: ModelFile, *, names: tuple[str, str]) -> None:
    """Refuse models that compute different things, or with weights of other names or shapes."""
    one, two = _meaning(first.info), _meaning(other.info)
    for setting, value in one.items():
        if value != two.get(setting):
            raise CheckpointError(
                f"{names[1]}: {setting} is {_shown(two.get(setting))}, but {_shown(value)} in {names[0]}; give models "
                "that differ in their weights only, such as one and what it was continued to"
            )
    shapes, others = ({name: weight.shape for name, weight in file.weights.items()} for file in (first, other))
    if shapes != others:
        name = min(name for name, _ in shapes.items() ^ others.items())
        raise CheckpointError(f"{names[1]}: has another weight {name} than {names[0]}; give models of one network")


def _meaning(info: ModelInfo) -> dict[str, object]:
    """Return the settings that say what the weights compute."""
    found: dict[str, object] = {"image_channels": info.image_channels}
    for section, content in info.config.model_dump(include=_SECTIONS).items():
        found[section] = "absent" if content is None else "given"
        found |= {f"{section}.{key}": value for key, value in (content or {}).items() if key not in _FREE}
    return found


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
