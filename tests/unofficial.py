"""Checkpoints as the best-known unofficial implementation of SR3 leaves them, and what it computes with them.

Written anew from its layout (github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement, model/sr3_modules):
the same names of tensors, the same arithmetic in float32 and in the same order of channels, by functions of torch on a
dictionary of tensors. It shares no code with sr3.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Layout:
    """What its configuration file says of a network; image_size with attn_res says which levels attend."""

    inner_channel: int
    channel_multiplier: tuple[int, ...]
    res_blocks: int
    attn_res: tuple[int, ...]
    image_size: int = 32
    norm_groups: int = 32
    in_channel: int = 6
    out_channel: int = 3


def network_tensors(layout: Layout, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw all tensors of the network, so large that every part shows in the answer."""
    generator, tensors = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for name, shape in tensor_shapes(layout).items():
        drawn = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            tensors[name] = drawn / math.prod(shape[1:]) ** 0.5
        else:
            tensors[name] = 0.1 * drawn + (1 if name.endswith("weight") else 0)
    return tensors


def tensor_shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Name all tensors of the network and their shapes."""
    shapes = dict[str, tuple[int, ...]]()
    for name, weight, bias in _modules(layout):
        shapes[f"{name}.weight"] = weight or (bias,)
        if bias:
            shapes[f"{name}.bias"] = (bias,)
    return shapes


def _modules(layout: Layout) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """List names of modules, shapes of their weights (none for a normalisation) and lengths of their biases."""
    inner = layout.inner_channel
    yield "noise_level_mlp.1", (4 * inner, inner), 4 * inner
    yield "noise_level_mlp.3", (inner, 4 * inner), inner
    yield "downs.0", (inner, layout.in_channel, 3, 3), inner
    for name, kind, before, after, attends in _plan(layout):
        if kind == "conv":
            yield f"{name}.conv", (after, after, 3, 3), after
            continue
        yield f"{name}.res_block.noise_func.noise_func.0", (after, inner), after
        for block, wide in (("block1", before), ("block2", after)):
            yield f"{name}.res_block.{block}.block.0", (), wide
            yield f"{name}.res_block.{block}.block.3", (after, wide, 3, 3), after
        if before != after:
            yield f"{name}.res_block.res_conv", (after, before, 1, 1), after
        if attends:
            yield f"{name}.attn.norm", (), after
            yield f"{name}.attn.qkv", (3 * after, after, 1, 1), 0
            yield f"{name}.attn.out", (after, after, 1, 1), after
    yield "final_conv.block.0", (), inner * layout.channel_multiplier[0]
    yield "final_conv.block.3", (layout.out_channel, inner * layout.channel_multiplier[0], 3, 3), layout.out_channel


def _plan(layout: Layout) -> Iterator[tuple[str, str, int, int, bool]]:
    """Walk down, through the middle and up: name, block or resampling convolution, channels in and out, attention."""
    wide = layout.inner_channel
    noted, number, deepest = [wide], 1, len(layout.channel_multiplier) - 1
    for level, multiplier in enumerate(layout.channel_multiplier):
        attends = layout.image_size // 2**level in layout.attn_res
        for _ in range(layout.res_blocks):
            yield f"downs.{number}", "block", wide, layout.inner_channel * multiplier, attends
            wide, number = layout.inner_channel * multiplier, number + 1
            noted.append(wide)
        if level < deepest:
            yield f"downs.{number}", "conv", wide, wide, False
            number += 1
            noted.append(wide)
    yield "mid.0", "block", wide, wide, True
    yield "mid.1", "block", wide, wide, False
    number = 0
    for level in range(deepest, -1, -1):
        attends, own = layout.image_size // 2**level in layout.attn_res, layout.inner_channel
        for _ in range(layout.res_blocks + 1):
            yield f"ups.{number}", "block", wide + noted.pop(), own * layout.channel_multiplier[level], attends
            wide, number = own * layout.channel_multiplier[level], number + 1
        if level > 0:
            yield f"ups.{number}", "conv", wide, wide, False
            number += 1


def call(tensors: dict[str, Tensor], layout: Layout, seen: Tensor, level: Tensor) -> Tensor:
    """Compute the network on condition and noisy image, in this order, at levels sqrt(gamma) of shape (b,)."""

    def apply(name: str, image: Tensor, **how: int) -> Tensor:
        weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
        if weight.ndim == 1:
            return functional.group_norm(image, layout.norm_groups, weight, bias)
        return (
            functional.linear(image, weight, bias)
            if weight.ndim == 2
            else functional.conv2d(image, weight, bias, **how)
        )

    def swish(image: Tensor) -> Tensor:
        return image * image.sigmoid()

    def block(name: str, image: Tensor, attends: bool) -> Tensor:
        inside = f"{name}.res_block"
        hidden = apply(f"{inside}.block1.block.3", swish(apply(f"{inside}.block1.block.0", image)), padding=1)
        hidden = hidden + apply(f"{inside}.noise_func.noise_func.0", told)[:, :, None, None]
        hidden = apply(f"{inside}.block2.block.3", swish(apply(f"{inside}.block2.block.0", hidden)), padding=1)
        hidden = hidden + (apply(f"{inside}.res_conv", image) if f"{inside}.res_conv.weight" in tensors else image)
        return attend(f"{name}.attn", hidden) if attends else hidden

    def attend(name: str, image: Tensor) -> Tensor:
        query, key, value = apply(f"{name}.qkv", apply(f"{name}.norm", image)).flatten(2).chunk(3, dim=1)
        share = (query.transpose(1, 2) @ key / image.shape[1] ** 0.5).softmax(-1)
        return image + apply(f"{name}.out", (value @ share.transpose(1, 2)).reshape(image.shape))

    half = layout.inner_channel // 2
    phase = level[:, None] * torch.exp(-math.log(1e4) * torch.arange(half) / half)
    told = apply("noise_level_mlp.1", torch.cat([phase.sin(), phase.cos()], dim=1))
    told = apply("noise_level_mlp.3", swish(told))
    image = apply("downs.0", seen, padding=1)
    kept = [image]
    for name, kind, _, _, attends in _plan(layout):
        part = name.split(".")[0]
        if kind == "conv" and part == "downs":
            image = apply(f"{name}.conv", image, stride=2, padding=1)
        elif kind == "conv":
            image = apply(f"{name}.conv", image.repeat_interleave(2, -1).repeat_interleave(2, -2), padding=1)
        else:
            image = block(name, torch.cat([image, kept.pop()], dim=1) if part == "ups" else image, attends)
        if part == "downs":
            kept.append(image)
    return apply("final_conv.block.3", swish(apply("final_conv.block.0", image)), padding=1)


def linear_betas(steps: int, first: float, final: float) -> np.ndarray:
    return np.linspace(first, final, steps, dtype=np.float64)


def schedule_tensors(betas: np.ndarray) -> dict[str, Tensor]:
    """Make the twelve buffers that it keeps of a schedule, float32."""
    kept = np.cumprod(1 - betas)
    before = np.append(1.0, kept[:-1])
    variance = betas * (1 - before) / (1 - kept)
    buffers = {
        "betas": betas,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(kept),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - kept),
        "log_one_minus_alphas_cumprod": np.log(1 - kept),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / kept),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / kept - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1 - kept),
        "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - kept),
    }
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in buffers.items()}


def sample(tensors: dict[str, Tensor], layout: Layout, x: Tensor, betas: np.ndarray, draws: Sequence[Tensor]) -> Tensor:
    """Walk its reverse process on a condition: clipped, with the posterior's variance; draws: y_T, then every z."""
    buffers, levels = schedule_tensors(betas), np.sqrt(np.append(1.0, np.cumprod(1 - betas)))
    y, *rest = draws
    for t in range(len(betas) - 1, -1, -1):
        level = torch.full((len(x),), float(levels[t + 1]), dtype=torch.float32)
        eps = call(tensors, layout, torch.cat([x, y], dim=1), level)
        y0 = buffers["sqrt_recip_alphas_cumprod"][t] * y - buffers["sqrt_recipm1_alphas_cumprod"][t] * eps
        y = buffers["posterior_mean_coef1"][t] * y0.clamp(-1, 1) + buffers["posterior_mean_coef2"][t] * y
        if t > 0:
            y = y + rest.pop(0) * (0.5 * buffers["posterior_log_variance_clipped"][t]).exp()
    return y


def write_checkpoint(
    path: Path, layout: Layout, *, seed: int = 0, prefix: str = "", betas: np.ndarray | None = None
) -> dict[str, Tensor]:
    """Write a *_gen.pth and return the tensors of its network under their names inside the network."""
    tensors = network_tensors(layout, seed=seed)
    buffers = schedule_tensors(linear_betas(2000, 1e-6, 1e-2) if betas is None else betas)
    state = {**buffers, **{f"denoise_fn.{name}": tensor for name, tensor in tensors.items()}}
    torch.save({prefix + name: tensor for name, tensor in state.items()}, path)
    return tensors
