"""`Step`, which every sampler yields, and how samplers run: without gradients, holding no state longer than needed."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import pairwise
from typing import NamedTuple, ParamSpec, TypeVar

import torch

from sr3.types import Gamma, Grid, State

__all__ = ["Step", "last", "level_pairs", "numbered", "without_gradients"]

P = ParamSpec("P")
T = TypeVar("T")


class Step(NamedTuple):
    """One refinement: the state after it, and the clean state predicted on the way; shape (b, ...)."""

    y: State
    y0: State


def level_pairs(grid: Grid, y: State) -> Iterator[tuple[Gamma, Gamma]]:
    """Pair every level with the next one, each repeated for every image of y, shape (b,)."""
    return pairwise(grid[:, None].expand(-1, len(y)))


def last(steps: Iterator[Step]) -> State:
    """Run a sampler to its end and return the final state."""
    return deque(steps, maxlen=1)[0].y


def numbered(items: Iterator[T], *, start: int) -> Iterator[tuple[int, T]]:
    """Count as `enumerate` does, but keep no reference to an item while the next is computed, to save memory."""
    number = start - 1
    for item in items:
        number += 1
        yield number, item
        del item


def without_gradients(sampler: Callable[P, Iterator[Step]]) -> Callable[P, Iterator[Step]]:
    """Run a sampler without gradients, and leave the gradient mode of the caller unchanged between steps.

    The decorator `torch.no_grad` does the same, but keeps a reference to the arguments, and so to the initial state,
    until the last step.
    """

    @wraps(sampler)
    def walk(*args: P.args, **kwargs: P.kwargs) -> Iterator[Step]:
        with torch.no_grad():  # of a function that is no generator this is the work
            steps = iter(sampler(*args, **kwargs))
        del args, kwargs
        while True:
            with torch.no_grad():
                step = next(steps, None)
            if step is None:
                return
            yield step
            del step

    return walk
