"""Blocks of the U-Net: BigGAN residual blocks with resampling inside, and attention.

Source: score-SDE, arXiv:2011.13456, appendix H, and BigGAN, arXiv:1809.11096, figure 15, as SR3 uses them.
Sums of two branches are scaled by 1/sqrt(2). The blocks know nothing of the condition.
"""

import math
from typing import Literal, TypeVar, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "Resampling", "ResidualBlock", "group_norm", "may_overwrite", "resample", "zero_init"]

Resampling = Literal["none", "up", "down"]
M = TypeVar("M", bound=nn.Module)
_RSQRT2 = 1 / math.sqrt(2)


def group_norm(width: int) -> nn.GroupNorm:
    """Normalise groups of at least four channels, at most 32 groups."""
    groups = min(32, width // 4)
    while width % groups:
        groups -= 1
    return nn.GroupNorm(groups, width)


def zero_init(module: M) -> M:
    """Set all parameters to 0, so that a branch adds nothing at first."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def resample(image: Tensor, resampling: Resampling) -> Tensor:
    """Halve the sides by 2x2 average pooling, double them by nearest-neighbour upsampling, or do nothing."""
    match resampling:
        case "none":
            return image
        case "up":
            return functional.interpolate(image, scale_factor=2.0, mode="nearest")
        case "down":
            return functional.avg_pool2d(image, 2)
        case _:
            assert_never(resampling)


def may_overwrite() -> bool:
    """Whether a layer may write its result over its own intermediate one: no gradient needs it and no trace holds it.

    The bits are the same; memory is not taken anew for every layer, which is up to 7 % of the time on a CPU. So without
    gradients a forward hook must not keep the output of a layer inside a block, and `torch.func.vmap` does not work.
    """
    traces = torch.jit.is_tracing() or torch.compiler.is_compiling()  # pyright: ignore[reportPrivateImportUsage]
    return not (torch.is_grad_enabled() or traces)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the noise level enters between them as a feature-wise affine (FiLM)."""

    def __init__(
        self, width_in: int, width_out: int, *, features: int, dropout: float, resampling: Resampling = "none"
    ) -> None:
        """Take (b, width_in, h, w) to (b, width_out, h', w'), h' by resampling."""
        super().__init__()
        self.resampling: Resampling = resampling
        self.norm_in = group_norm(width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.affine = nn.Linear(features, 2 * width_out)
        self.norm_out = group_norm(width_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zero_init(nn.Conv2d(width_out, width_out, 3, padding=1))
        self.shortcut = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Refine the features at the noise level of each image; embedding has shape (b, features)."""
        spare = may_overwrite()
        hidden = resample(functional.silu(self.norm_in(image), inplace=spare), self.resampling)
        hidden = self.norm_out(self.conv_in(hidden))
        scale, shift = self.affine(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = hidden.mul_(1 + scale).add_(shift) if spare else hidden * (1 + scale) + shift
        hidden = self.conv_out(self.dropout(functional.silu(hidden, inplace=spare)))
        shortcut = self.shortcut(resample(image, self.resampling))
        return hidden.add_(shortcut).mul_(_RSQRT2) if spare else (shortcut + hidden) * _RSQRT2


class Attention(nn.Module):
    """Self-attention over all positions, with heads of a fixed width and a residual connection."""

    def __init__(self, width: int, *, head_width: int) -> None:
        """Attend over (b, width, h, w) with heads of head_width channels; one head where width is less."""
        super().__init__()
        self.heads = max(1, width // head_width)
        self.norm = group_norm(width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = zero_init(nn.Conv2d(width, width, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Apply attention over all positions of each image."""
        b, c, h, w = image.shape
        qkv = self.qkv(self.norm(image)).reshape(b, 3, self.heads, c // self.heads, h * w)
        query, key, value = qkv.transpose(-1, -2).unbind(1)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(-1, -2).reshape(b, c, h, w)
        return (image + self.out(mixed)) * _RSQRT2
