"""The endless, resumable order of training batches: a pure function of (seed, step).

Every epoch is one shuffle of all images. Batches are made ahead in a thread, so that the network never waits.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.data.dataset import PairDataset
from sr3.diffusion.noise import mix_seed
from sr3.errors import DataError
from sr3.types import Gamma, Image

__all__ = ["Batch", "batch_indices", "batches", "make_batch"]


class Batch(NamedTuple):
    """Pictures and their conditions, shape (b, c, h, w), float32 in [-1, 1]; classes and levels of the condition (b,).

    Pictures of a generator have conditions of no channels; pictures without classes the label NO_LABEL.
    """

    y0: Image
    x: Image
    labels: Tensor
    levels: Gamma


@lru_cache(maxsize=4)
def _shuffle(length: int, seed: int) -> Tensor:
    return torch.randperm(length, generator=torch.Generator().manual_seed(seed))


def batch_indices(length: int, *, batch: int, seed: int, step: int) -> list[int]:
    """List the images of one step: places step * batch .. of shuffles laid end to end."""
    places = range(step * batch, (step + 1) * batch)
    return [int(_shuffle(length, mix_seed(seed, place // length))[place % length]) for place in places]


def make_batch(dataset: PairDataset, *, batch: int, seed: int, step: int, places: range) -> Batch:
    """Make a part of the batch of one step: images, crops and turns follow from (seed, step, place in the batch)."""
    whole = batch_indices(len(dataset), batch=batch, seed=seed, step=step)
    indices = [whole[place] for place in places]
    pairs = [
        dataset.pair(index, torch.Generator().manual_seed(mix_seed(seed, step, place)))
        for place, index in zip(places, indices, strict=True)
    ]
    sizes = {pair.y0.shape[1:]: index for pair, index in zip(pairs, indices, strict=True)}
    if len(sizes) > 1:
        shown = ", ".join(f"{dataset.name(index)} ({size[1]}x{size[0]})" for size, index in list(sizes.items())[:2])
        raise DataError(f"images of different sizes cannot share a batch: {shown}; set data.crop")
    labels = torch.tensor([p.label for p in pairs])
    levels = torch.tensor([p.level for p in pairs], dtype=torch.float64)
    return Batch(torch.stack([p.y0 for p in pairs]), torch.stack([p.x for p in pairs]), labels, levels)


def batches(
    dataset: PairDataset, *, batch: int, parts: Sequence[range], seed: int, first_step: int, ahead: int = 3
) -> Generator[list[Batch]]:
    """Yield the parts of the batches from first_step on, for ever, made ahead in one thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="sr3-data") as pool:

        def make(step: int) -> list[Batch]:
            return [make_batch(dataset, batch=batch, seed=seed, step=step, places=places) for places in parts]

        def submit(step: int) -> Future[list[Batch]]:
            return pool.submit(make, step)

        waiting = [submit(first_step + k) for k in range(ahead)]
        step = first_step + ahead
        try:
            while True:
                ready = waiting.pop(0).result()
                waiting.append(submit(step))
                step += 1
                yield ready
        finally:
            for future in waiting:
                future.cancel()
