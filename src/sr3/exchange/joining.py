"""A restoration model put before an upscaling one, as one model file."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.checkpoint import RESTORATION_PREFIX, STRENGTH_PREFIX, ModelFile, ModelInfo, read_model, write_model
from sr3.config import Config, RestorationConfig, SPANConfig
from sr3.digest import digest_of_weights
from sr3.errors import CheckpointError
from sr3.networks.strength import StrengthNetwork
from sr3.sampling.filling import build_filled
from sr3.zoo import find_model

__all__ = ["Parts", "is_half", "join", "read_parts"]


class Parts(NamedTuple):
    """Two models that fit together: what cleans the input, and what upscales it."""

    restoration: ModelFile
    model: ModelFile


def read_parts(restoration: str, model: str) -> Parts:
    """Read two models, found by name, path, run folder or address; CheckpointError when they do not fit.

    restoration: a regression of family `span` at scale 1. model: any model that upscales images of as many channels.
    """
    before, after = read_model(find_model(restoration)), read_model(find_model(model))
    config = before.info.config
    if not isinstance(config.network, SPANConfig) or config.data.scale != 1:
        raise CheckpointError(
            f"{restoration}: is of family {config.network.family} at scale {config.data.scale}, but a restoration "
            "model has family span and scale 1; train one by sr3 train span-x4 with data.scale=1"
        )
    _check(before, after, model)
    return Parts(before, after)


def join(parts: Parts, target: Path, *, strength: StrengthNetwork | None = None) -> ModelInfo:
    """Write a model that first cleans its input by a restoration model; returns what it says of itself.

    parts: as `read_parts` reads them. strength: what measures how strongly an input needs cleaning. No weights change;
    they are kept in half precision where both files have it. Raises CheckpointError when the disk refuses.
    """
    before, after = parts
    section = _section(before, strength)
    settings = {**after.info.config.model_dump(), "restoration": section.model_dump()}
    info = after.info.model_copy(update={"name": target.stem, "config": Config.model_validate(settings)})
    weights = {**after.weights, **{f"{RESTORATION_PREFIX}{name}": value for name, value in before.weights.items()}}
    dtype = torch.float16 if is_half(weights) else torch.float32
    if strength is not None:
        weights |= {f"{STRENGTH_PREFIX}{name}": value for name, value in strength.state_dict().items()}
    build_filled(ModelFile(info, weights), torch.device("cpu"))
    write_model(target, info, weights, dtype=dtype)
    return info


def _section(before: ModelFile, strength: StrengthNetwork | None) -> RestorationConfig:
    config = before.info.config
    assert isinstance(config.network, SPANConfig)
    return RestorationConfig(
        name=before.info.name,
        digest=digest_of_weights(before.weights),
        network=config.network,
        denoiser=config.denoiser,
        strength_width=None if strength is None else strength.width,
    )


def _check(before: ModelFile, after: ModelFile, name: str) -> None:
    config = after.info.config
    if config.network.condition == "none" or config.network.condition_channels:
        raise CheckpointError(f"{name}: does not upscale images of its own channels; give a model that does")
    if config.restoration is not None:
        raise CheckpointError(f"{name}: cleans its input already; give the model it was joined from")
    if after.info.image_channels != before.info.image_channels:
        raise CheckpointError(
            f"{name}: takes images of {after.info.image_channels} channels, and {before.info.name} of "
            f"{before.info.image_channels}; give models with the same number of channels"
        )


def is_half(weights: Mapping[str, Tensor]) -> bool:
    """Say whether half precision holds the weights exactly."""
    return all(torch.equal(weight.half().float(), weight) for weight in weights.values())
