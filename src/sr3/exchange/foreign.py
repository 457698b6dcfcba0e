"""Checkpoints of Janspiry's implementation of SR3: how they are read, and the architecture their tensors show.

Source: github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement, files `I*_E*_gen.pth`: the state of its
diffusion module. That is the network (`denoise_fn.`) and the training schedule as buffers; settings are not in it.
Files are read by `torch.load(weights_only=True)`, so nothing in them is run. No setting of ours is known here.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from sr3.errors import CheckpointError

__all__ = ["ForeignNetwork", "ForeignState", "our_name", "read_foreign"]

_NETWORK, _WRAPPER, _BETAS = "denoise_fn.", "module.", "betas"
_FIXED = {
    "noise_level_mlp.1": "embedding.layers.0",
    "noise_level_mlp.3": "embedding.layers.2",
    "downs.0": "head",
    "final_conv.block.0": "norm",
    "final_conv.block.3": "tail",
}
_INSIDE = {
    "res_block.noise_func.noise_func.0": "block.shift",
    "res_block.block1.block.0": "block.norm_in",
    "res_block.block1.block.3": "block.conv_in",
    "res_block.block2.block.0": "block.norm_out",
    "res_block.block2.block.3": "block.conv_out",
    "res_block.res_conv": "block.shortcut",
    "attn.norm": "attention.norm",
    "attn.qkv": "attention.qkv",
    "attn.out": "attention.out",
    "conv": "block.conv",
}
_PARTS = {"downs": "down", "mid": "middle", "ups": "up"}


class ForeignNetwork(NamedTuple):
    """The shape of a network, in the words of `sr3.config.NetworkConfig`, and the channels of its images."""

    image_channels: int
    condition: Literal["picture", "none"]
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    features: int


class ForeignState(NamedTuple):
    """A checkpoint as read: its network's shape, its tensors under their own names, its betas (T,) or nothing."""

    network: ForeignNetwork
    weights: dict[str, Tensor]
    betas: Tensor


def read_foreign(path: Path) -> ForeignState:
    """Read a checkpoint; CheckpointError when it is missing, damaged, of another kind, or holds more than tensors."""
    state = _read_tensors(path)
    weights = {key.removeprefix(_NETWORK): value.float() for key, value in state.items() if key.startswith(_NETWORK)}
    if not weights:
        raise CheckpointError(f"{path}: holds no {_NETWORK}* tensors; give a *_gen.pth of that implementation")
    if any(key.startswith("time_mlp") or ".mlp." in key for key in weights):
        raise CheckpointError(
            f"{path}: its network is of type ddpm, conditioned on timesteps, not noise levels; give one of type sr3"
        )
    try:
        network = _shape(weights)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        detail = f"it lacks {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"{path}: is not a network of that implementation: {detail}") from error
    return ForeignState(network, weights, state.get(_BETAS, torch.empty(0)).double().flatten())


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name, without `module.` before them."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of storage that torch has left behind
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged archives surface as almost any exception.
        raise CheckpointError(f"{path}: {_reason(error)}; give an undamaged *_gen.pth") from error
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path}: holds one {type(loaded).__name__}, not named tensors; give a *_gen.pth")
    state: dict[str, Tensor] = {}
    for key, value in cast(Mapping[object, object], loaded).items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise CheckpointError(
                f"{path}: {key} is of type {kind}, not a tensor; give a *_gen.pth, which holds the network"
            )
        if value.layout is not torch.strided or value.is_complex() or value.is_quantized:
            raise CheckpointError(f"{path}: {key} is not a plain tensor of numbers; give a *_gen.pth as it was written")
        used = key.removeprefix(_WRAPPER).startswith(_NETWORK) or key.removeprefix(_WRAPPER) == _BETAS
        if used and not bool(value.float().isfinite().all()):
            raise CheckpointError(f"{path}: {key} holds NaN or infinity; give an earlier checkpoint")
        state[key.removeprefix(_WRAPPER)] = value
    return state


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "weights_only" in text or "WeightsUnpickler" in text:
        return "is not a torch file, or holds more than tensors, which could run code and is not read"
    return f"cannot be read by torch ({text[:100] or type(error).__name__})"


def _shape(weights: Mapping[str, Tensor]) -> ForeignNetwork:
    """Read the shape off the tensors; KeyError and ValueError where they have none."""
    width, seen = weights["downs.0.weight"].shape[:2]
    channels = len(weights["final_conv.block.3.weight"])
    if seen not in (channels, 2 * channels):
        raise ValueError(f"it sees {seen} channels and answers with {channels}")
    levels = _levels(weights, width)
    if any(len(level) != len(levels[0]) or len(set(level)) != 1 for level in levels):
        raise ValueError("the blocks of its levels are not alike")
    return ForeignNetwork(
        image_channels=channels,
        condition="picture" if seen == 2 * channels else "none",
        width=width,
        multipliers=tuple(level[0][0] for level in levels),
        blocks=len(levels[0]),
        attention=tuple(number for number, level in enumerate(levels) if level[0][1]),
        features=len(weights["noise_level_mlp.1.weight"]),
    )


def _levels(weights: Mapping[str, Tensor], width: int) -> list[list[tuple[int, bool]]]:
    """List, for every level, its blocks: the multiple of width, and whether they attend."""
    levels: list[list[tuple[int, bool]]] = [[]]
    for number in range(1, len({key.split(".")[1] for key in weights if key.startswith("downs.")})):
        if f"downs.{number}.conv.weight" in weights:
            levels.append([])
            continue
        wide = len(weights[f"downs.{number}.res_block.block1.block.3.weight"])
        if wide % width:
            raise ValueError(f"downs.{number} has {wide} channels, not a multiple of {width}")
        levels[-1].append((wide // width, f"downs.{number}.attn.qkv.weight" in weights))
    return levels


def our_name(key: str) -> str:
    """Translate the name of a network's tensor; a name that is not known stays as it is."""
    module, _, leaf = key.rpartition(".")
    if module in _FIXED:
        return f"{_FIXED[module]}.{leaf}"
    found = re.fullmatch(r"(downs|mid|ups)\.(\d+)\.(.+)", module)
    if found is None or found[3] not in _INSIDE:
        return key
    number = int(found[2]) - (1 if found[1] == "downs" else 0)
    return f"{_PARTS[found[1]]}.{number}.{_INSIDE[found[3]]}.{leaf}"
