"""Weights loaded into networks, checked against their settings before memory is allocated."""

import torch
from torch import Tensor, nn

from sr3.build import Network, build_denoiser
from sr3.checkpoint import MEAN_PREFIX, RESTORATION_PREFIX, STRENGTH_PREFIX, ModelFile
from sr3.diffusion.denoiser import Denoiser
from sr3.errors import CheckpointError

__all__ = ["build_filled", "fill", "fill_part", "other_networks", "part_weights"]


def build_filled(model: ModelFile, device: torch.device) -> Denoiser[Network]:
    """Build the network of a model file and fill it; CheckpointError when weights and settings disagree."""
    _check_shapes(model)
    denoiser = build_denoiser(model.info.config, image_channels=model.info.image_channels)
    fill(denoiser.network, model)
    for prefix, network in other_networks(denoiser).items():
        fill_part(network, model, prefix)
    denoiser.eval().requires_grad_(False)
    return denoiser.to(device)


def _check_shapes(model: ModelFile) -> None:
    """Compare the shapes in a file with those of the network, before memory is allocated."""
    with torch.device("meta"):
        denoiser = build_denoiser(model.info.config, image_channels=model.info.image_channels)
    expected = {name: tensor.shape for name, tensor in denoiser.network.state_dict().items()}
    for prefix, network in other_networks(denoiser).items():
        expected |= {f"{prefix}{name}": tensor.shape for name, tensor in network.state_dict().items()}
    found = {name: tensor.shape for name, tensor in model.weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            shapes = [str(tuple(of[name])) if name in of else "none" for of in (expected, found)]
            raise CheckpointError(
                f"{model.info.name}: weights do not fit the settings in the file: {name} should be {shapes[0]} and is "
                f"{shapes[1]}; fetch or copy it again"
            )


def fill(network: nn.Module, model: ModelFile) -> None:
    """Load the weights of a model file into its network; CheckpointError when they do not fit."""
    others = (MEAN_PREFIX, RESTORATION_PREFIX, STRENGTH_PREFIX)
    _load(network, {name: weight for name, weight in model.weights.items() if not name.startswith(others)}, model)


def fill_part(network: nn.Module, model: ModelFile, prefix: str) -> None:
    """Load those weights of a model file whose names begin with a prefix; CheckpointError when they do not fit."""
    _load(network, part_weights(model, prefix), model)


def part_weights(model: ModelFile, prefix: str) -> dict[str, Tensor]:
    """Select the weights of a model file whose names begin with a prefix, and remove it."""
    return {name.removeprefix(prefix): weight for name, weight in model.weights.items() if name.startswith(prefix)}


def other_networks(denoiser: Denoiser[Network]) -> dict[str, nn.Module]:
    """The networks besides the main one, by what the names of their weights begin with."""
    found = dict[str, nn.Module]()
    if denoiser.mean is not None:
        found[MEAN_PREFIX] = denoiser.mean
    if denoiser.restoration is not None:
        found[RESTORATION_PREFIX] = denoiser.restoration.network
    if denoiser.strength is not None:
        found[STRENGTH_PREFIX] = denoiser.strength
    return found


def _load(network: nn.Module, weights: dict[str, Tensor], model: ModelFile) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{model.info.name}: weights do not fit the settings in the file: {detail}") from error
