"""The endless, resumable order of training batches: a pure function of (seed, step).

Batches are made ahead by threads, so that the network never waits.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.data.supply import Pairs, Place
from sr3.errors import DataError
from sr3.types import Gamma, Image, LowRes

__all__ = ["Batch", "batches", "make_batch"]

_LOOK = 0.5
"""Seconds between two looks at whether to stop."""


class Batch(NamedTuple):
    """Pictures and their conditions, shape (b, c, h, w), float32 in [-1, 1]; classes and levels of the condition (b,).

    low_res: what the condition is the enlargement of, before any noise or blur; without channels for a generator.
    Images of a generator have conditions of no channels; images without classes the label NO_LABEL.
    """

    y0: Image
    x: Image
    labels: Tensor
    levels: Gamma
    low_res: LowRes


def make_batch(pairs: Pairs, *, batch: int, seed: int, step: int, places: range, pool: Executor) -> Batch:
    """Create a part of the batch of one step: images, crops and turns follow from (seed, step, place in the batch)."""
    named = pairs.take([Place(step, number) for number in places], batch=batch, seed=seed, pool=pool)
    sizes = {pair.y0.shape[1:]: name for name, pair in named}
    if len(sizes) > 1:
        shown = ", ".join(f"{name} ({size[1]}x{size[0]})" for size, name in list(sizes.items())[:2])
        raise DataError(f"images of different sizes cannot share a batch: {shown}; set data.crop")
    made = [pair for _, pair in named]
    labels = torch.tensor([p.label for p in made])
    levels = torch.tensor([p.level for p in made], dtype=torch.float64)
    y0, x, low_res = (torch.stack(part) for part in zip(*((p.y0, p.x, p.low_res) for p in made), strict=True))
    return Batch(y0, x, labels, levels, low_res)


def batches(
    pairs: Pairs,
    *,
    batch: int,
    parts: Sequence[range],
    seed: int,
    first_step: int,
    ahead: int = 3,
    workers: int = 1,
    stop: Event | None = None,
) -> Generator[list[Batch]]:
    """Yield the parts of the batches from first_step on, for ever, made ahead; workers: threads that make pairs.

    stop: once set, the generator ends instead of waiting for a batch.
    """
    with (
        ThreadPoolExecutor(1, thread_name_prefix="sr3-data") as batcher,
        ThreadPoolExecutor(workers, thread_name_prefix="sr3-pairs") as pool,
    ):

        def make(step: int) -> list[Batch]:
            return [make_batch(pairs, batch=batch, seed=seed, step=step, places=part, pool=pool) for part in parts]

        def submit(step: int) -> Future[list[Batch]]:
            return batcher.submit(make, step)

        waiting = [submit(first_step + k) for k in range(ahead)]
        step = first_step + ahead
        try:
            while True:
                while not waiting[0].done() and not (stop is not None and stop.is_set()):
                    wait(waiting[:1], timeout=_LOOK)
                if not waiting[0].done():
                    return
                ready = waiting.pop(0).result()
                waiting.append(submit(step))
                step += 1
                yield ready
        finally:
            for future in waiting:
                future.cancel()
            pairs.close()
