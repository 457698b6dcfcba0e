"""What every sampler yields."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from sr3.types import Image

__all__ = ["Step", "last"]


class Step(NamedTuple):
    """One refinement: the state after it, and the clean state predicted on the way; shape (b, c, h, w)."""

    y: Image
    y0: Image


def last(steps: Iterator[Step]) -> Image:
    """Run a sampler to its end and return the final state."""
    return deque(steps, maxlen=1)[0].y
