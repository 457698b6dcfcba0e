"""Statistics of several samples of one input: mean, deviation, and the two most different.

Samples are images in [-1, 1]. The file knows no model and no file.
"""

from itertools import combinations

import torch
from torch import Tensor

__all__ = ["Ensemble"]


class Ensemble:
    """Collects samples (c, h, w) one by one; keeps two sums, and each sample in 8 bits."""

    def __init__(self) -> None:
        """Start with none."""
        self._levels: list[Tensor] = []
        self._mean = torch.zeros(())
        self._spread = torch.zeros(())

    def __len__(self) -> int:
        """Count the samples."""
        return len(self._levels)

    def add(self, sample: Tensor) -> None:
        """Take one more sample (Welford's method: no difference of large sums)."""
        sample = sample.cpu().float()
        surprise = sample - self._mean
        self._mean = self._mean + surprise / (len(self) + 1)
        self._spread = self._spread + surprise * (sample - self._mean)
        self._levels.append(((sample + 1) * 127.5).round().clamp(0, 255).byte())

    def mean(self) -> Tensor:
        """Average the samples, shape (c, h, w)."""
        return self._mean

    def deviation(self) -> Tensor:
        """Return the standard deviation at each pixel, shape (h, w), in levels of 255; 0 for one sample.

        Over K samples with K - 1 in the denominator; the root of the mean of the channels' variances.
        """
        return (self._spread / max(len(self) - 1, 1)).mean(0).clamp(min=0).sqrt() * 127.5

    def most_different(self) -> tuple[int, int]:
        """Find the two samples with the largest mean square difference of their levels; the first such pair."""
        if len(self) < 2:
            raise ValueError("one sample differs from none")
        return max(combinations(range(len(self)), 2), key=self._distance)

    def _distance(self, pair: tuple[int, int]) -> float:
        first, second = (self._levels[k] for k in pair)
        rows = zip(first.unbind(1), second.unbind(1), strict=True)
        return sum(float((a.double() - b.double()).square().sum()) for a, b in rows)
