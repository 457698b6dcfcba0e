"""Embeddings of the noise level (WaveGrad, arXiv:2009.00713, section 3.1) and of the class."""

import math

import torch
from torch import Tensor, nn

from sr3.types import Gamma

__all__ = ["LEVEL_FACTOR", "ClassEmbedding", "NoiseLevelEmbedding", "sinusoids"]

LEVEL_FACTOR = 5000.0
"""WaveGrad's factor on the level; without it levels near 1 are indistinguishable."""


def sinusoids(gamma: Gamma, width: int, *, factor: float = LEVEL_FACTOR) -> Tensor:
    """Encode the level sqrt(gamma) by sin and cos of factor sqrt(gamma) 10^(-4 i / h), i < h = width / 2.

    Returns float32, shape (b, width): sines first. The phase is made in float64.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(1e4) * torch.arange(half, dtype=torch.float64) / half)
    phase = factor * gamma.double().cpu().sqrt()[:, None] * frequencies
    return torch.cat([phase.sin(), phase.cos()], dim=1).float()


class NoiseLevelEmbedding(nn.Module):
    """Sinusoids of the level through a two-layer perceptron, shape (b, features)."""

    def __init__(self, width: int, features: int) -> None:
        """Take width sinusoids (even) to a number of features."""
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU())

    def forward(self, gamma: Gamma) -> Tensor:
        """Embed levels of shape (b,)."""
        return self.layers(sinusoids(gamma, self.width).to(next(self.parameters())))


class ClassEmbedding(nn.Module):
    """One vector per class, and one more for "no class", shape (b, features).

    With the last one the network is unconditional, as classifier-free guidance requires (arXiv:2207.12598).
    """

    def __init__(self, classes: int, features: int) -> None:
        """Hold classes + 1 vectors, zero at the start."""
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(classes + 1, features))

    @property
    def no_class(self) -> int:
        """Label that stands for "no class": the number of classes."""
        return len(self.vectors) - 1

    def forward(self, labels: Tensor) -> Tensor:
        """Look up labels of shape (b,), 0 .. classes."""
        return self.vectors[labels.to(self.vectors.device)]
