"""The checkpoint of a run: everything that does not follow from (seed, step), in one file with a checksum."""

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

from sr3.atomic import whole_file
from sr3.build import Network
from sr3.checkpoint import read_tensors, write_tensors
from sr3.digest import digest_of
from sr3.errors import CheckpointError
from sr3.objectives.protocol import Discriminator
from sr3.training.ema import Averages

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

__all__ = ["TrainState", "Written", "checkpoints", "gather", "last_whole", "read_state", "write_state"]

_MOMENTS = ("exp_avg", "exp_avg_sq")
_CHECKSUM = ".sha256"
_FORMAT = 2
"""Version of a checkpoint. Version 1 has other names for the discriminator: `critic.` and `opponent_updates`."""
_VERSION_1 = re.compile(r"^(exp_avg\.|exp_avg_sq\.|)critic\.")


@dataclass
class TrainState:
    """Step, fingerprint of the images, network, moving averages, optimiser, gradient scaler, positions in a stream,
    and discriminator.

    The tensors may be sharded among processes. The first average is the one that is validated and saved as the model.
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
    """A state as written to disk: unsharded tensors on the CPU, and a description."""

    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any]


def gather(state: TrainState, *, keep: bool = True) -> Written:
    """Gather the state from all processes. Every process must call this; keep: whether this one needs the tensors."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in _named_tensors(state):
        full = tensor.full_tensor() if _is_sharded(tensor) else tensor
        if keep:
            tensors[name] = whole(full)
    description = {
        "format": _FORMAT,
        "step": state.step,
        "updates": _updates(state.optimizer),
        **(
            {"discriminator_updates": _updates(state.discriminator.optimizer)}
            if state.discriminator is not None
            else {}
        ),
        "images": state.images,
        "scaler": state.scaler.state_dict(),
        "cursors": state.cursors,
    }
    return Written(tensors, description)


def _updates(optimizer: torch.optim.Optimizer) -> int:
    """Count the updates of an optimiser: fewer than the steps where float16 overflowed or an update of the
    discriminator was skipped.
    """
    counts = [int(moments["step"]) for moments in optimizer.state.values() if "step" in moments]
    return counts[0] if counts else 0


def _named_tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in state.network.named_parameters():
        yield f"network.{name}", parameter
    for prefix, average in _named_averages(state):
        yield from ((f"{prefix}.{name}", tensor) for name, tensor in average.items())
    yield from _named_moments(state.network, state.optimizer, "")
    if state.discriminator is not None:
        yield from ((f"discriminator.{name}", tensor) for name, tensor in _own_tensors(state.discriminator.network))
        yield from _named_moments(state.discriminator.network, state.discriminator.optimizer, "discriminator.")


def _own_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name the parameters and buffers of a discriminator; buffers are projections and vectors of spectral norms."""
    yield from network.named_parameters()
    yield from network.named_buffers()


def _named_moments(network: nn.Module, optimizer: torch.optim.Optimizer, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        if parameter in optimizer.state:
            for moment in _MOMENTS:
                yield f"{moment}.{prefix}{name}", optimizer.state[parameter][moment]


def _is_sharded(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Whether a tensor is one process's part of a larger one: there is none before its module, slow to load, is."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Gather a tensor that may be sharded; contiguous, on the CPU."""
    full = tensor.full_tensor() if _is_sharded(tensor) else tensor
    return full.detach().cpu().contiguous()


def write_state(folder: Path, written: Written, *, keep: int) -> Path:
    """Write a checkpoint and its checksum atomically, then remove all but the latest `keep`.

    Raises CheckpointError when the file cannot be written; earlier checkpoints then stay.
    """
    path = folder / f"{written.description['step']:08d}.safetensors"

    def note_checksum(file: Path) -> None:
        with whole_file(path.with_suffix(_CHECKSUM)) as temporary:
            temporary.write_text(digest_of(file), encoding="ascii")

    write_tensors(path, dict(written.tensors), written.description, written=note_checksum)
    earlier = [old for old in checkpoints(folder) if old.name < path.name]
    later = [
        old for old in checkpoints(folder) if old.name > path.name
    ]  # damaged, or the run would have resumed from it
    for old in (*earlier[keep - 1 :], *later):
        old.unlink()
        old.with_suffix(_CHECKSUM).unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a folder, latest first."""
    return sorted((path for path in folder.glob("*.safetensors") if path.stem.isdecimal()), reverse=True)


def last_whole(folder: Path) -> Path | None:
    """Find the latest intact checkpoint; warns about damaged ones.

    Raises CheckpointError when there are checkpoints but all of them are damaged.
    """
    found = checkpoints(folder)
    for path in found:
        if _is_whole(path):
            return path
        if path != found[-1]:
            text = f"{path}: is damaged or incomplete; resuming from the previous checkpoint"
            warnings.warn(text, stacklevel=2)
    if found:
        raise CheckpointError(
            f"{folder}: all checkpoints are damaged; restore one, or start a new run with another --out"
        )
    return None


def _is_whole(path: Path) -> bool:
    try:
        return path.with_suffix(_CHECKSUM).read_text(encoding="ascii") == digest_of(path)
    except (OSError, UnicodeDecodeError):
        return False


def read_state(path: Path, state: TrainState) -> None:
    """Fill the state from a checkpoint; CheckpointError when it belongs to another network."""
    tensors, description = _migrated(*read_tensors(path))
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
            _fill_discriminator(state.discriminator, tensors, int(description["discriminator_updates"]))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: belongs to a network with other settings; resume with the config.toml of the run"
        ) from error
    if description.get("images", state.images) != state.images:
        warnings.warn(
            "the training images have changed since the run started, so some held-out ones may have been trained on",
            stacklevel=2,
        )


def _migrated(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """Return a checkpoint of version 1 the names of version 2."""
    if int(description.get("format", 1)) > 1:
        return tensors, description
    renamed = {_VERSION_1.sub(r"\1discriminator.", name): tensors[name] for name in tensors}
    updates = {"discriminator_updates": description["opponent_updates"]} if "opponent_updates" in description else {}
    return renamed, {**description, **updates}


def _fill_discriminator(discriminator: Discriminator, tensors: Mapping[str, Tensor], updates: int) -> None:
    for name, tensor in _own_tensors(discriminator.network):
        _fill(tensor, tensors[f"discriminator.{name}"])
    if updates:
        _fill_moments(discriminator.network, discriminator.optimizer, tensors, updates, prefix="discriminator.")


def _fill_moments(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], updates: int, prefix: str = ""
) -> None:
    for name, parameter in network.named_parameters():
        moments = {moment: torch.zeros_like(parameter, requires_grad=False) for moment in _MOMENTS}
        for moment, tensor in moments.items():
            _fill(tensor, tensors[f"{moment}.{prefix}{name}"])
        # Fused Adam keeps the count on the device of the parameter.
        count = torch.tensor(float(updates), device=parameter.device)
        optimizer.state[parameter] = {"step": count, **moments}


@torch.no_grad()
def _fill(target: Tensor, source: Tensor) -> None:
    """Copy an unsharded tensor into one that may be sharded."""
    if _is_sharded(target):
        from torch.distributed.tensor import distribute_tensor

        source = distribute_tensor(source.to(target.device), target.device_mesh, target.placements)
    target.copy_(source)


def _named_averages(state: TrainState) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Name the averages as in a checkpoint: `ema` for the first, and the decay for the others."""
    for number, (decay, average) in enumerate(state.averages.items()):
        yield ("ema" if number == 0 else f"ema-{decay!r}"), average
