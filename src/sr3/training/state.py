"""Everything a resumed run needs that does not follow from (seed, step), in one file with its checksum."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from sr3.atomic import whole_file
from sr3.build import Network
from sr3.checkpoint import read_tensors, write_tensors
from sr3.digest import digest_of
from sr3.errors import CheckpointError
from sr3.objectives.protocol import Discriminator
from sr3.training.ema import Averages

__all__ = ["TrainState", "Written", "checkpoints", "gather", "last_whole", "read_state", "write_state"]

_MOMENTS = ("exp_avg", "exp_avg_sq")
_CHECKSUM = ".sha256"


@dataclass
class TrainState:
    """Steps taken, fingerprint of the images, network, moving averages, optimiser, loss scale, place in a stream,
    and what learns against the network.

    The tensors may be sharded among processes. The first average is the one that is shown and kept as the model.
    """

    step: int
    images: str
    network: Network
    averages: Averages
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    cursors: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    discriminator: Discriminator | None = None


@dataclass(frozen=True)
class Written:
    """A state as it is on disk: whole tensors on the CPU, and a description."""

    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any]


def gather(state: TrainState, *, keep: bool = True) -> Written:
    """Bring the state together from all processes; every one must call it, and those that write it keep it."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in _named_tensors(state):
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            tensors[name] = whole(full)
    description = {
        "format": 1,
        "step": state.step,
        "updates": _updates(state.optimizer),
        **({"opponent_updates": _updates(state.discriminator.optimizer)} if state.discriminator is not None else {}),
        "images": state.images,
        "scaler": state.scaler.state_dict(),
        "cursors": state.cursors,
    }
    return Written(tensors, description)


def _updates(optimizer: torch.optim.Optimizer) -> int:
    """Count the updates an optimiser has made: fewer than steps where float16 overflowed or a critic was too good."""
    counts = [int(moments["step"]) for moments in optimizer.state.values() if "step" in moments]
    return counts[0] if counts else 0


def _named_tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in state.network.named_parameters():
        yield f"network.{name}", parameter
    for prefix, average in _named_averages(state):
        yield from ((f"{prefix}.{name}", tensor) for name, tensor in average.items())
    yield from _named_moments(state.network, state.optimizer, "")
    if state.discriminator is not None:
        yield from ((f"critic.{name}", tensor) for name, tensor in _own_tensors(state.discriminator.critic))
        yield from _named_moments(state.discriminator.critic, state.discriminator.optimizer, "critic.")


def _own_tensors(critic: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name the parameters of a critic and what it keeps beside them: projections, vectors of its spectral norms."""
    yield from critic.named_parameters()
    yield from critic.named_buffers()


def _named_moments(network: nn.Module, optimizer: torch.optim.Optimizer, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        if parameter in optimizer.state:
            for moment in _MOMENTS:
                yield f"{moment}.{prefix}{name}", optimizer.state[parameter][moment]


def whole(tensor: Tensor) -> Tensor:
    """Give the whole of a tensor that may be sharded, on the CPU, contiguous."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu().contiguous()


def write_state(folder: Path, written: Written, *, keep: int) -> Path:
    """Write a checkpoint and its checksum atomically, then remove all but the last `keep`.

    Raises CheckpointError when the disk refuses; those that were there stay.
    """
    path = folder / f"{written.description['step']:08d}.safetensors"

    def note_checksum(file: Path) -> None:
        with whole_file(path.with_suffix(_CHECKSUM)) as temporary:
            temporary.write_text(digest_of(file), encoding="ascii")

    write_tensors(path, dict(written.tensors), written.description, written=note_checksum)
    earlier = [old for old in checkpoints(folder) if old.name < path.name]
    later = [old for old in checkpoints(folder) if old.name > path.name]  # not whole, or the run would be there
    for old in (*earlier[keep - 1 :], *later):
        old.unlink()
        old.with_suffix(_CHECKSUM).unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a folder, the last first."""
    return sorted((path for path in folder.glob("*.safetensors") if path.stem.isdecimal()), reverse=True)


def last_whole(folder: Path) -> Path | None:
    """Find the last checkpoint that is what was written; warns of those that are not.

    Raises CheckpointError when there are some and none of them is whole.
    """
    found = checkpoints(folder)
    for path in found:
        if _is_whole(path):
            return path
        if path != found[-1]:
            text = f"{path}: is damaged or was not written to its end; going on from the one before"
            warnings.warn(text, stacklevel=2)
    if found:
        raise CheckpointError(f"{folder}: no checkpoint is whole; restore one, or begin anew with another --out")
    return None


def _is_whole(path: Path) -> bool:
    try:
        return path.with_suffix(_CHECKSUM).read_text(encoding="ascii") == digest_of(path)
    except (OSError, UnicodeDecodeError):
        return False


def read_state(path: Path, state: TrainState) -> None:
    """Fill the state from a checkpoint; CheckpointError when it belongs to another network."""
    tensors, description = read_tensors(path)
    try:
        for name, parameter in state.network.named_parameters():
            _fill(parameter, tensors[f"network.{name}"])
        for prefix, average in _named_averages(state):
            source = prefix if f"{prefix}.{next(iter(average))}" in tensors else "ema"
            for name, tensor in average.items():
                _fill(tensor, tensors[f"{source}.{name}"])
        state.step = int(description["step"])
        state.scaler.load_state_dict(description.get("scaler", {}))
        state.cursors = description.get("cursors", {}) if description.get("images") == state.images else {}
        if updates := int(description.get("updates", state.step)):
            _fill_moments(state.network, state.optimizer, tensors, updates)
        if state.discriminator is not None:
            _fill_discriminator(state.discriminator, tensors, int(description["opponent_updates"]))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: belongs to a network of other settings; resume with the run's own config.toml"
        ) from error
    if description.get("images", state.images) != state.images:
        warnings.warn(
            "the training images are not those the run began with, so some held-out ones may have been learnt",
            stacklevel=2,
        )


def _fill_discriminator(discriminator: Discriminator, tensors: Mapping[str, Tensor], updates: int) -> None:
    for name, tensor in _own_tensors(discriminator.critic):
        _fill(tensor, tensors[f"critic.{name}"])
    if updates:
        _fill_moments(discriminator.critic, discriminator.optimizer, tensors, updates, prefix="critic.")


def _fill_moments(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], updates: int, prefix: str = ""
) -> None:
    for name, parameter in network.named_parameters():
        moments = {moment: torch.zeros_like(parameter, requires_grad=False) for moment in _MOMENTS}
        for moment, tensor in moments.items():
            _fill(tensor, tensors[f"{moment}.{prefix}{name}"])
        # The count lies where fused Adam keeps it.
        count = torch.tensor(float(updates), device=parameter.device)
        optimizer.state[parameter] = {"step": count, **moments}


@torch.no_grad()
def _fill(target: Tensor, source: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded."""
    if isinstance(target, DTensor):
        source = distribute_tensor(source.to(target.device), target.device_mesh, target.placements)
    target.copy_(source)


def _named_averages(state: TrainState) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Name the averages as a checkpoint does: the first `ema`, the others by their decay."""
    for number, (decay, average) in enumerate(state.averages.items()):
        yield ("ema" if number == 0 else f"ema-{decay!r}"), average
