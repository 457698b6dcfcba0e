"""Random noise as an argument: one stream per image.

An image drawn alone is bit-equal to the same image drawn in a batch, and a run is repeated by its seeds.
The generator is on the CPU, so all devices get the same noise.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sr3.types import State

__all__ = ["NoiseSource", "draw_noise", "mix_seed"]

_MASK = (1 << 63) - 1


def mix_seed(*parts: int) -> int:
    """Combine integers into a seed; neighbouring values give unrelated streams (splitmix64 finaliser)."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state & _MASK


def draw_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw standard normal noise of a shape, float32, on the CPU."""
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


class NoiseSource:
    """Streams of standard normal noise, one for each image of a batch.

    seeds: one integer per image. Each draw continues where the last one ended.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        """Open one stream per seed."""
        self._generators = [torch.Generator().manual_seed(mix_seed(seed)) for seed in seeds]

    def draw(self, shape: Sequence[int]) -> State:
        """Draw noise of a shape, such as (c, h, w), for every image: float32, CPU, shape (b, c, h, w).

        It has memory of its own, which the caller may overwrite.
        """
        drawn = torch.empty(len(self._generators), *shape, dtype=torch.float32)
        for one, generator in zip(drawn, self._generators, strict=True):
            one.normal_(generator=generator)  # in place: images may fill the memory
        return drawn

    def like(self, image: State) -> State:
        """Draw noise of the shape, type and device of a batch of images."""
        if len(image) != len(self._generators):
            raise ValueError(
                f"{len(self._generators)} noise streams cannot serve {len(image)} images; give one seed per image"
            )
        return self.draw(image.shape[1:]).to(image)
