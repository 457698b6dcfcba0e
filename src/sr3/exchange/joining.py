"""A restoration model put before an upscaling one, as one model file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sr3.checkpoint import RESTORATION_PREFIX, STRENGTH_PREFIX, ModelFile, ModelInfo, read_model, write_model
from sr3.config import Config, RestorationConfig, SPANConfig
from sr3.digest import digest_of_weights
from sr3.errors import CheckpointError
from sr3.networks.strength import StrengthNetwork
from sr3.sampling.filling import build_filled
from sr3.zoo import find_model

__all__ = ["is_half", "join", "read_restoration"]


def join(restoration: ModelFile, model: str, target: Path, *, strength: StrengthNetwork | None = None) -> ModelInfo:
    """Write a model that first cleans its input by a restoration model; returns what it says of itself.

    restoration: as `read_restoration` reads it. model: any model that upscales images of as many channels, found by
    name, path, run folder or address. strength: what measures how strongly an input needs cleaning. No weights change;
    they are kept in half precision where both files have it. Raises CheckpointError when the two do not fit, or the
    disk refuses.
    """
    before, after = restoration, read_model(find_model(model))
    section = _section(before, strength)
    _check(before, after, model)
    settings = {**after.info.config.model_dump(), "restoration": section.model_dump()}
    info = after.info.model_copy(update={"name": target.stem, "config": Config.model_validate(settings)})
    weights = {**after.weights, **{f"{RESTORATION_PREFIX}{name}": value for name, value in before.weights.items()}}
    dtype = torch.float16 if is_half(weights) else torch.float32
    if strength is not None:
        weights |= {f"{STRENGTH_PREFIX}{name}": value for name, value in strength.state_dict().items()}
    build_filled(ModelFile(info, weights), torch.device("cpu"))
    write_model(target, info, weights, dtype=dtype)
    return info


def read_restoration(name: str) -> ModelFile:
    """Read a regression of family `span` at scale 1, found by name, path, run folder or address; CheckpointError."""
    found = read_model(find_model(name))
    config = found.info.config
    if not isinstance(config.network, SPANConfig) or config.data.scale != 1:
        raise CheckpointError(
            f"{name}: is of family {config.network.family} at scale {config.data.scale}, but a restoration model has "
            "family span and scale 1; train one by sr3 train span-x4 with data.scale=1"
        )
    return found


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
