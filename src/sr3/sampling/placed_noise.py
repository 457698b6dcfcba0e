"""Noise that belongs to places of a large image, so that overlapping windows draw the same where they overlap."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sr3.diffusion.noise import NoiseSource, draw_noise, mix_seed
from sr3.types import State

__all__ = ["PlacedNoise"]

_BLOCK = 256


class PlacedNoise(NoiseSource):
    """The noise of one window of a large image.

    seeds: one per image. top, left: first row and column of the window, and height: its rows, in pixels of the input;
    draws of another size are placed in proportion. The n-th draw is one field over the whole image, made of blocks
    with a seed each.
    """

    def __init__(self, seeds: Sequence[int], *, top: int, left: int, height: int) -> None:
        """Open one field per seed."""
        super().__init__(seeds)
        self._seeds, self._place, self._height, self._draws = seeds, (top, left), height, 0

    def draw(self, shape: Sequence[int]) -> State:
        """Draw noise of a shape (c, h, w) for every image: float32, CPU, shape (b, c, h, w)."""
        channels, high, wide = shape
        top, left = (start * high // self._height for start in self._place)
        self._draws += 1
        return torch.stack([self._cut(seed, channels, (top, left), (high, wide)) for seed in self._seeds])

    def _cut(self, seed: int, channels: int, start: tuple[int, int], size: tuple[int, int]) -> Tensor:
        (top, left), (high, wide) = start, size
        rows, columns = (range(a // _BLOCK, -(-(a + n) // _BLOCK)) for a, n in zip(start, size, strict=True))
        field = torch.cat([torch.cat([self._block(seed, channels, r, c) for c in columns], 2) for r in rows], 1)
        down, across = top - rows.start * _BLOCK, left - columns.start * _BLOCK
        return field[:, down : down + high, across : across + wide]

    def _block(self, seed: int, channels: int, row: int, column: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix_seed(seed, self._draws, row, column))
        return draw_noise((channels, _BLOCK, _BLOCK), generator)
