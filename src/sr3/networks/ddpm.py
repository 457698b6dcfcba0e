"""Blocks of DDPM's U-Net (arXiv:2006.11239, appendix B), as Janspiry's implementation of SR3 has them.

What differs from `blocks`: sums are not scaled, resampling is a convolution of its own, the noise level only shifts,
attention has one head and no bias, and the level is encoded without WaveGrad's factor. Blocks see no condition.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from sr3.networks.blocks import Resampling, may_overwrite, resample, zero_init
from sr3.networks.embedding import sinusoids
from sr3.types import Gamma

__all__ = ["OneHeadAttention", "PlainLevelEmbedding", "PlainResampling", "ShiftedBlock"]


class PlainLevelEmbedding(nn.Module):
    """Sinusoids of the level sqrt(gamma) itself through a two-layer perceptron, shape (b, width)."""

    def __init__(self, width: int, features: int) -> None:
        """Take width sinusoids (even) through a number of features back to width."""
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, features), nn.SiLU(), nn.Linear(features, width))

    def forward(self, gamma: Gamma) -> Tensor:
        """Embed levels of shape (b,)."""
        return self.layers(sinusoids(gamma, self.width, factor=1.0).to(next(self.parameters())))


class ShiftedBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the noise level is added to the features between them."""

    resampling: Resampling = "none"

    def __init__(self, width_in: int, width_out: int, *, features: int, dropout: float, groups: int) -> None:
        """Take (b, width_in, h, w) to (b, width_out, h, w); groups divides both widths."""
        super().__init__()
        self.norm_in = nn.GroupNorm(groups, width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.shift = nn.Linear(features, width_out)
        self.norm_out = nn.GroupNorm(groups, width_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zero_init(nn.Conv2d(width_out, width_out, 3, padding=1))
        self.shortcut = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Refine the features at the noise level of each image; embedding has shape (b, features)."""
        spare = may_overwrite()
        hidden = self.conv_in(functional.silu(self.norm_in(image), inplace=spare))
        shift = self.shift(embedding)[:, :, None, None]
        hidden = self.norm_out(hidden.add_(shift) if spare else hidden + shift)
        hidden = self.conv_out(self.dropout(functional.silu(hidden, inplace=spare)))
        return hidden.add_(self.shortcut(image)) if spare else hidden + self.shortcut(image)


class PlainResampling(nn.Module):
    """Halve by a 3x3 convolution of stride 2, or double by repetition and a 3x3 convolution."""

    def __init__(self, width: int, resampling: Literal["up", "down"]) -> None:
        """Take (b, width, h, w) to half or twice the sides, which are even."""
        super().__init__()
        self.resampling: Resampling = resampling
        self.conv = nn.Conv2d(width, width, 3, stride=2 if resampling == "down" else 1, padding=1)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Resample; the noise level is ignored."""
        del embedding
        return self.conv(resample(image, "up") if self.resampling == "up" else image)


class OneHeadAttention(nn.Module):
    """Self-attention over all positions, with one head of all channels and a residual connection."""

    def __init__(self, width: int, *, groups: int) -> None:
        """Attend over (b, width, h, w); groups divides width."""
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = zero_init(nn.Conv2d(width, width, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Apply attention over all positions of each image."""
        b, c, h, w = image.shape
        qkv = self.qkv(self.norm(image)).reshape(b, 3, 1, c, h * w)
        query, key, value = qkv.transpose(-1, -2).unbind(1)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return image + self.out(mixed.transpose(-1, -2).reshape(b, c, h, w))
