"""Model files: weights as safetensors with all settings in the file's metadata. Never pickle.

A model file holds the weights that sample (the moving average) and `ModelInfo`. Nothing here builds a network.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sr3.atomic import whole_file
from sr3.config import FORMAT, Config, upgrade
from sr3.data.members import printable
from sr3.errors import CheckpointError, ConfigError
from sr3.parsing import parse_json

__all__ = [
    "FORMAT",
    "MEAN_PREFIX",
    "RESTORATION_PREFIX",
    "SETTINGS_TENSOR",
    "STRENGTH_PREFIX",
    "ModelFile",
    "ModelInfo",
    "describe",
    "describe_anew",
    "model_of",
    "read_model",
    "read_tensors",
    "write_model",
    "write_tensors",
]

MEAN_PREFIX = "mean."
"""What the names of the weights of a mean begin with, beside those of the network."""
SETTINGS_TENSOR = "sr3_settings"
"""Name of the tensor that has the settings in files for programs that pass on tensors only."""
RESTORATION_PREFIX = "restoration."
"""What the names of the weights of a restoration network begin with."""
STRENGTH_PREFIX = "strength."
"""What the names of the weights of the network begin with that measures how strongly an input needs cleaning."""
_KEY = "sr3"
_LONGEST_NAME = 128
_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class ModelInfo(BaseModel):
    """What a model file says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    image_channels: int = Field(gt=0)
    """Channels of the images it was trained on."""
    step: int = Field(ge=0)
    """Optimiser steps taken."""
    config: Config
    results: dict[str, float] = {}
    """Figures measured in training, by name."""
    data: str = ""
    """What it was trained on, for people."""

    @property
    def condition_channels(self) -> int:
        """Channels of the images it is given; of a generator those of its own."""
        return self.config.network.condition_channels or self.image_channels


@dataclass(frozen=True)
class ModelFile:
    """A model as read: its description and the weights of its network, float32."""

    info: ModelInfo
    weights: dict[str, Tensor]


def write_model(path: Path, info: ModelInfo, weights: Mapping[str, Tensor], *, dtype: torch.dtype) -> None:
    """Write a model file atomically, its weights in a floating type.

    What no name of a file may hold becomes a hyphen in its name; control characters in `data` are escaped.
    """
    plain = "".join(letter if letter.isprintable() and letter not in "/\\" else "-" for letter in info.name)
    name = plain[:_LONGEST_NAME] if plain.strip(".") else "model"
    info = info.model_copy(update={"name": name, "data": printable(info.data)})
    description = describe(info)
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in weights.items()}
    write_tensors(path, tensors, description)


def read_model(path: Path) -> ModelFile:
    """Read a model file; CheckpointError when it is missing, damaged, foreign or too new.

    A file made for spandrel (`sr3.spandrel`) is one, too.
    """
    tensors, description = read_tensors(path)
    tensors.pop(SETTINGS_TENSOR, None)
    return model_of(tensors, description, where=str(path))


def model_of(tensors: Mapping[str, Tensor], description: dict[str, Any], *, where: str) -> ModelFile:
    """Check tensors and the description that came with them; CheckpointError as for `read_model`, which names where."""
    found = _format_of(description, where)
    try:
        settings = upgrade(description["config"], found=found, where=where)
        content = {name: value for name, value in description.items() if name != "format"}
        info = ModelInfo.model_validate_json(json.dumps({**content, "config": settings}))
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{where}: its settings cannot be read by this version of sr3; upgrade sr3") from error
    _check_plain(where, info.name, description)
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            kinds = ", ".join(str(one).removeprefix("torch.") for one in _TYPES)
            kind = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(f"{where}: {name} is of type {kind}; save the weights as one of {kinds}")
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{where}: {name} holds NaN or infinity; use an earlier checkpoint of the run")
    return ModelFile(info, {name: tensor.float() for name, tensor in tensors.items()})


def describe(info: ModelInfo) -> dict[str, Any]:
    """Describe a model as JSON values, as it stands in the metadata of its file."""
    return {"format": FORMAT, **info.model_dump(mode="json", exclude_none=True)}


def _format_of(description: Mapping[str, Any], where: str) -> int:
    found = description.get("format")
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise CheckpointError(f"{where}: has format {found}, this version reads 1 to {FORMAT}; upgrade sr3")
    return found


def _check_plain(where: str, name: str, description: object) -> None:
    """Refuse texts that a terminal would obey, and a name that would lead a file elsewhere."""
    source = "download it again from a source you trust"
    for text in _texts(description):
        if not text.replace("\n", "").replace("\t", "").isprintable():
            raise CheckpointError(f"{where}: its settings hold control characters ({text[:60]!r}); {source}")
    if not name or len(name) > _LONGEST_NAME or set(name) & set("/\\\n\t") or name in (".", ".."):
        raise CheckpointError(f"{where}: its model name, {name[:60]!r}, cannot be a file name; {source}")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, object], value).items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in cast(list[object], value):
            yield from _texts(inner)


def describe_anew(path: Path, target: Path, info: ModelInfo) -> None:
    """Write the weights of a model file, as they are, with another description; target may be the same file."""
    tensors, _ = read_tensors(path)
    write_tensors(target, tensors, describe(info))


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    *,
    written: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write tensors and a JSON description atomically; CheckpointError when the disk refuses.

    written: called with the file before it gets its name.
    """
    try:
        with whole_file(path) as temporary:
            save_file(dict(tensors), temporary, metadata={_KEY: json.dumps(description)})
            written(temporary)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); free space or choose another folder") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote, its format number with it; CheckpointError as for `read_model`."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}); fetch or copy it again") from error
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: safetensors, but not written by sr3; give a model that sr3 trained")
    try:
        description = dict(parse_json(metadata[_KEY]))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its settings are damaged ({error}); fetch or copy it again") from error
    _format_of(description, str(path))
    return tensors, description
