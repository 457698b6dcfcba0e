"""Choice of the device and data type for inference and training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import nn

from sr3.diffusion.denoiser import Denoise, Denoiser, Prediction
from sr3.errors import ConfigError
from sr3.ranks import read_ranks
from sr3.runtime.int8 import to_int8
from sr3.types import Gamma, Image

__all__ = ["choose_device", "choose_dtype", "computes_bfloat16", "each_alone", "in_type", "laid_out", "training_dtype"]

N = TypeVar("N", bound=nn.Module)
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


def choose_device(name: str) -> torch.device:
    """Take cpu, cuda or mps, or the fastest there is for auto; ConfigError when it is not there.

    Of several processes on a machine each takes a GPU of its own.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [device for device, usable in available.items() if usable]
    if name != "auto" and name not in there:
        why = "not available on this machine with this build of torch"
        if name == "cuda" and torch.backends.cuda.is_built() is False:
            why = "this torch was built without CUDA; see https://pytorch.org/get-started for one that has it"
        elif name == "cuda":
            why = "torch finds no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES"
        raise ConfigError(f"device {name}: {why}; give auto or one of {', '.join(there)}")
    name = there[0] if name == "auto" else name
    place = read_ranks().local_rank
    if name != "cuda" or place is None:
        return torch.device(name)
    if place >= torch.cuda.device_count():
        raise ConfigError(
            f"device cuda: process {place} of this machine has no GPU of its own, there are "
            f"{torch.cuda.device_count()}; start fewer processes, or give device cpu"
        )
    return torch.device(name, place)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Take float32, bfloat16 or int8; auto is bfloat16 where the device computes in it, float32 elsewhere.

    ConfigError for int8 elsewhere than on a CPU.
    """
    if name == "auto":
        return torch.bfloat16 if computes_bfloat16(device) else torch.float32
    if name not in _DTYPES:
        raise ConfigError(f"dtype {name}: unknown; give auto, {', '.join(_DTYPES)}")
    if name == "int8" and device.type != "cpu":
        raise ConfigError(f"dtype int8: is for the CPU, not {device.type}; give device cpu, or dtype auto")
    return _DTYPES[name]


def in_type(denoise: Denoise, *, device: torch.device, dtype: torch.dtype) -> Denoise:
    """Let a denoiser compute in a type: bfloat16 by autocast, with weights and results still float32.

    In int8, what is not a convolution is computed in the type of auto.
    """

    half = _around_convolutions(dtype, device) == torch.bfloat16

    def cast(z: Image, gamma: Gamma) -> Prediction:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            return denoise(z, gamma)

    return cast


def laid_out(denoiser: Denoiser[N], dtype: torch.dtype) -> Denoiser[N]:
    """Prepare weights for a type; but for float32 channels last, convolutions rounded now and not at every call.

    The network of a mean stays in float32: it is called once. ConfigError for int8 where torch cannot compute in it.
    """
    if dtype == torch.float32:
        return denoiser
    if dtype == torch.int8:
        to_int8(denoiser.network)
    outside = _around_convolutions(dtype, next(denoiser.parameters()).device)
    for part in denoiser.network.modules():
        if isinstance(part, nn.Conv2d):
            part.to(outside)
    return denoiser.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportReturnType] (missing in torch's types)


def _around_convolutions(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    return choose_dtype("auto", device) if dtype == torch.int8 else dtype


def each_alone(denoisers: Sequence[Denoise]) -> Denoise:
    """Join denoisers of one image each into one of their batch."""

    def denoise(z: Image, gamma: Gamma) -> Prediction:
        parts = [one(z[k : k + 1], gamma[k : k + 1]) for k, one in enumerate(denoisers)]
        return Prediction(torch.cat([part.y0 for part in parts]), lambda: torch.cat([part.eps for part in parts]))

    return denoise


def training_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of a `training.precision` on a device; ConfigError for float16 elsewhere than on cuda."""
    if precision == "auto":
        return torch.bfloat16 if computes_bfloat16(device) else torch.float32
    if precision == "float16" and device.type != "cuda":
        raise ConfigError(f"training.precision float16 is for cuda, not {device.type}; use auto")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def computes_bfloat16(device: torch.device) -> bool:
    """Look for instructions: without them torch imitates the type, slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
