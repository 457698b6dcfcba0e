"""Weights loaded into networks, checked against their settings before memory is allocated."""

import torch
from torch import Tensor, nn

from sr3.build import Network, build_denoiser
from sr3.checkpoint import MEAN_PREFIX, ModelFile
from sr3.diffusion.denoiser import Denoiser
from sr3.errors import CheckpointError

__all__ = ["build_filled", "fill"]


def build_filled(model: ModelFile, device: torch.device) -> Denoiser[Network]:
    """Build the network of a model file and fill it; CheckpointError when weights and settings disagree."""
    _check_shapes(model)
    denoiser = build_denoiser(model.info.config, image_channels=model.info.image_channels)
    fill(denoiser.network, model)
    if denoiser.mean is not None:
        _fill_mean(denoiser.mean, model)
    denoiser.eval().requires_grad_(False)
    return denoiser.to(device)


def _check_shapes(model: ModelFile) -> None:
    """Compare the shapes in a file with those of the network, before memory is allocated."""
    with torch.device("meta"):
        denoiser = build_denoiser(model.info.config, image_channels=model.info.image_channels)
    expected = {name: tensor.shape for name, tensor in denoiser.network.state_dict().items()}
    if denoiser.mean is not None:
        expected |= {f"{MEAN_PREFIX}{name}": tensor.shape for name, tensor in denoiser.mean.state_dict().items()}
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
    _load(network, {name: weight for name, weight in model.weights.items() if not name.startswith(MEAN_PREFIX)}, model)


def _fill_mean(network: nn.Module, model: ModelFile) -> None:
    """Load the weights of the mean predictor from a model file; CheckpointError when they do not fit."""
    own = {name: weight for name, weight in model.weights.items() if name.startswith(MEAN_PREFIX)}
    _load(network, {name.removeprefix(MEAN_PREFIX): weight for name, weight in own.items()}, model)


def _load(network: nn.Module, weights: dict[str, Tensor], model: ModelFile) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{model.info.name}: weights do not fit the settings in the file: {detail}") from error
