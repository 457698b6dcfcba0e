"""Everything a resumed run needs that does not follow from (seed, step), saved in one file."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sr3.checkpoint import read_tensors, write_tensors
from sr3.errors import CheckpointError
from sr3.networks.unet import UNet

__all__ = ["TrainState", "read_state", "write_state"]


@dataclass
class TrainState:
    """Steps taken, fingerprint of the images, network, moving average, optimiser."""

    step: int
    images: str
    network: UNet
    ema: UNet
    optimizer: torch.optim.Adam


def write_state(path: Path, state: TrainState) -> None:
    """Write the state atomically, float32."""
    tensors: dict[str, Tensor] = {}
    for part, module in (("network", state.network), ("ema", state.ema)):
        tensors |= {f"{part}.{name}": tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
    names = [name for name, _ in state.network.named_parameters()]
    for name, parameter in zip(names, state.network.parameters(), strict=True):
        for moment in ("exp_avg", "exp_avg_sq"):
            if parameter in state.optimizer.state:
                tensors[f"{moment}.{name}"] = state.optimizer.state[parameter][moment].contiguous()
    write_tensors(path, tensors, {"format": 1, "step": state.step, "images": state.images})


def read_state(path: Path, state: TrainState) -> None:
    """Fill the state from a file of `write_state`; CheckpointError when it belongs to another network."""
    tensors, description = read_tensors(path)
    try:
        for part, module in (("network", state.network), ("ema", state.ema)):
            module.load_state_dict({name: tensors[f"{part}.{name}"] for name in module.state_dict()})
        state.step = int(description["step"])
        if description.get("images", state.images) != state.images:
            warnings.warn(
                "the training images are not those the run began with, so some held-out ones may have been learnt",
                stacklevel=2,
            )
        if state.step == 0:
            return
        for name, parameter in state.network.named_parameters():
            state.optimizer.state[parameter] = {
                "step": torch.tensor(float(state.step), device=parameter.device),  # where fused Adam keeps it
                "exp_avg": _laid_out_like(tensors[f"exp_avg.{name}"], parameter),
                "exp_avg_sq": _laid_out_like(tensors[f"exp_avg_sq.{name}"], parameter),
            }
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: belongs to a network of other settings; resume with the run's own config.toml"
        ) from error


def _laid_out_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor)
