"""The source of training pairs, the same for images at hand and for streams."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple, Protocol

import torch

from sr3.data.pairs import Pair
from sr3.diffusion.noise import mix_seed

__all__ = ["Pairs", "Place"]


class Place(NamedTuple):
    """A place in the whole batch of a step."""

    step: int
    number: int

    def generator(self, seed: int) -> torch.Generator:
        """Draw what is random about the pair in this place."""
        return torch.Generator().manual_seed(mix_seed(seed, self.step, self.number))


class Pairs(Protocol):
    """Where the pairs of a training come from."""

    @property
    def image_channels(self) -> int:
        """Bands of every image."""
        ...

    @property
    def described(self) -> str:
        """Return how much there is."""
        ...

    def take(self, places: Sequence[Place], *, batch: int, seed: int, pool: Executor) -> list[tuple[str, Pair]]:
        """Create the pairs of some places, with names; a stream must be asked for one step after the other."""
        ...

    def cursors(self, step: int) -> dict[str, list[int]]:
        """Return where a stream is when a step begins."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...
