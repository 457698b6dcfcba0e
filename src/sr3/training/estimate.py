"""Cost estimates before training: parameters, FLOPs, memory and time. Nothing is trained here.

FLOPs and activations are counted on torch's meta device, so counting allocates no memory.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from sr3.build import Network, build_network, count_parameters
from sr3.config import Config
from sr3.diffusion.denoiser import Conditioning, Denoiser, LowResInput, MeanFeatures
from sr3.runtime.device import training_dtype

__all__ = ["BACKWARD", "Estimate", "advise_memory", "estimate", "forward_flops", "peak_rate"]

BACKWARD = 3
"""Cost of a training step in forward passes: one forward pass, and twice as much for the backward pass."""
_USUAL_SHARE = 0.3
"""Typical share of the peak FLOP/s in training; the measured share is shown during training."""


@dataclass(frozen=True)
class Estimate:
    """Cost of a training run on this machine. A multiply-add counts as two FLOPs."""

    parameters: int
    flops_per_image: float
    """Per image and training step."""
    state_bytes: int
    """Weights, gradients, optimiser moments and moving averages, float32."""
    activation_bytes: int
    """Activations that a part of the batch keeps for the backward pass."""
    images_at_once: int
    """Images in such a part."""
    peak: float
    """FLOP/s of a large matrix product on this machine."""
    seconds_per_step: float
    steps: int


def estimate(config: Config, *, image_channels: int, side: int, device: torch.device, processes: int = 1) -> Estimate:
    """Estimate a training run on square images; time assumes 30 % of the peak FLOP/s. side: in pixels."""
    training, network = config.training, config.network
    parameters = count_parameters(network, image_channels=image_channels, scale=config.data.scale)
    flops = forward_flops(config, image_channels=image_channels, side=side) * BACKWARD
    if network.checkpointing:
        flops *= (BACKWARD + 1) / BACKWARD
    part = training.batch // (processes * training.accumulate)
    half = training_dtype(training.precision, device) != torch.float32
    kept = _activations(config, image_channels=image_channels, side=side) * part // (2 if half else 1)
    peak = peak_rate(device, torch.bfloat16 if half else torch.float32)
    averages = 1 + len(training.ema_others)
    return Estimate(
        parameters=parameters,
        flops_per_image=flops,
        state_bytes=4 * parameters * (4 + averages),
        activation_bytes=int(kept),
        images_at_once=part,
        peak=peak,
        seconds_per_step=flops * training.batch / processes / (peak * _USUAL_SHARE),
        steps=training.steps,
    )


def advise_memory(found: Estimate, config: Config, *, free: int) -> str:
    """Describe in one line whether training fits into so many free bytes, and what to set if it does not."""
    have, training = f"memory of this machine: {free / 2**30:.1f} GiB free", config.training
    if found.state_bytes + found.activation_bytes <= free:
        return f"{have}, enough"
    per_image = found.activation_bytes / found.images_at_once
    processes = training.batch // (found.images_at_once * training.accumulate)
    if found.state_bytes + per_image > free:
        need = (found.state_bytes + per_image) / 2**30
        less = "" if config.network.checkpointing else ", or less with network.checkpointing=true"
        return f"{have}, too little: one image at a time needs {need:.1f} GiB{less}"
    at_once = int((free - found.state_bytes) / per_image)
    share = training.batch // processes
    accumulate = next(parts for parts in range(1, share + 1) if share % parts == 0 and share // parts <= at_once)
    need = (found.state_bytes + per_image * share / accumulate) / 2**30
    return f"{have}, too little: set training.accumulate={accumulate}, which needs {need:.1f} GiB"


def forward_flops(config: Config, *, image_channels: int, side: int) -> float:
    """Count the FLOPs of one forward pass on one image."""
    with FlopCounterMode(display=False) as counter:
        _call(_on_meta(config, image_channels), config, image_channels, side)
    return float(counter.get_total_flops())


def _activations(config: Config, *, image_channels: int, side: int) -> int:
    """Count the bytes that the network keeps per image for the backward pass, in float32."""
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage  # several views of one storage are kept once
        return tensor

    network = _on_meta(config, image_channels)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        _call(network, config, image_channels, side)
    weights = {id(parameter.untyped_storage()) for parameter in network.parameters()}
    return sum(storage.nbytes() for key, storage in kept.items() if key not in weights)


def _on_meta(config: Config, image_channels: int) -> Network:
    with torch.device("meta"):
        return build_network(config.network, image_channels=image_channels, scale=config.data.scale)


def _call(network: Network, config: Config, image_channels: int, side: int) -> Tensor:
    picture = torch.empty(1, image_channels, side, side, device="meta")
    seen = 0 if config.network.condition == "none" else config.network.condition_channels or image_channels
    x = torch.empty(1, seen, side, side, device="meta")
    low_side = side // config.data.scale
    conditioning: Conditioning = LowResInput(x[..., :low_side, :low_side]) if config.network.sees_low_res else ()
    if config.network.guide:
        conditioning = MeanFeatures(torch.empty(1, config.network.guide, low_side, low_side, device="meta"))
    level = torch.ones(1, dtype=torch.float64, device="cpu")
    return Denoiser(network)(picture, x, level, conditioning)


def peak_rate(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.5) -> float:
    """Measure the FLOP/s of a large matrix product, as the peak of this machine."""
    side = 8192 if device.type == "cuda" else 1024
    one, other = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
    _ = one @ other  # the first product also loads its kernels
    best, ends = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < ends or best == 0:
        began = time.perf_counter()
        product = one @ other
        if device.type == "cuda":
            torch.cuda.synchronize()
        elif device.type == "mps":
            torch.mps.synchronize()
        del product
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best
