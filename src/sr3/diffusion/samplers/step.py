"""`Step`, which every sampler yields."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch

from sr3.types import Image

__all__ = ["Step", "last", "numbered", "without_gradients"]

P = ParamSpec("P")
T = TypeVar("T")


class Step(NamedTuple):
    """One refinement: the state after it, and the clean state predicted on the way; shape (b, c, h, w)."""

    y: Image
    y0: Image


def last(steps: Iterator[Step]) -> Image:
    """Run a sampler to its end and return the final state."""
    return deque(steps, maxlen=1)[0].y


def numbered(items: Iterator[T], *, start: int) -> Iterator[tuple[int, T]]:
    """Count as `enumerate` does, but hold no item while the next is made: pictures may fill the memory."""
    number = start - 1
    for item in items:
        number += 1
        yield number, item
        del item


def without_gradients(sampler: Callable[P, Iterator[Step]]) -> Callable[P, Iterator[Step]]:
    """Let a sampler compute without gradients, and the caller between its steps as it was.

    `torch.no_grad` as a decorator does so too, but holds the arguments, and with them the state that a sampler starts
    from, until the last step.
    """

    @wraps(sampler)
    def walk(*args: P.args, **kwargs: P.kwargs) -> Iterator[Step]:
        steps = sampler(*args, **kwargs)
        del args, kwargs
        while True:
            with torch.no_grad():
                step = next(steps, None)
            if step is None:
                return
            yield step
            del step

    return walk
