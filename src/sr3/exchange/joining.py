"""A restoration model put before an upscaling one, as one model file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sr3.checkpoint import RESTORATION_PREFIX, ModelFile, ModelInfo, read_model, write_model
from sr3.config import Config, RestorationConfig, SPANConfig
from sr3.digest import digest_of_weights
from sr3.errors import CheckpointError
from sr3.sampling.filling import build_filled
from sr3.zoo import find_model

__all__ = ["is_half", "join"]


def join(restoration: str, model: str, target: Path) -> ModelInfo:
    """Write a model that first cleans its input by a restoration model; returns what it says of itself.

    restoration: a regression of family `span` at scale 1. model: any model that upscales images of as many channels.
    Both are found by name, path, run folder or address, and their weights do not change. Weights are kept in half
    precision where both files have it. Raises CheckpointError when the two do not fit, or the disk refuses.
    """
    before, after = read_model(find_model(restoration)), read_model(find_model(model))
    section = _section(before, restoration)
    _check(before, after, model)
    settings = {**after.info.config.model_dump(), "restoration": section.model_dump()}
    info = after.info.model_copy(update={"name": target.stem, "config": Config.model_validate(settings)})
    weights = {**after.weights, **{f"{RESTORATION_PREFIX}{name}": value for name, value in before.weights.items()}}
    build_filled(ModelFile(info, weights), torch.device("cpu"))
    write_model(target, info, weights, dtype=torch.float16 if is_half(weights) else torch.float32)
    return info


def _section(before: ModelFile, name: str) -> RestorationConfig:
    config = before.info.config
    if not isinstance(config.network, SPANConfig) or config.data.scale != 1:
        raise CheckpointError(
            f"{name}: is of family {config.network.family} at scale {config.data.scale}, but a restoration model has "
            "family span and scale 1; train one by sr3 train span-x4 with data.scale=1"
        )
    return RestorationConfig(
        name=before.info.name,
        digest=digest_of_weights(before.weights),
        network=config.network,
        denoiser=config.denoiser,
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
