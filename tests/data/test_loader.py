"""The order of training batches."""

import pytest
import torch

from pictures import Pictures, smooth
from sr3.config import DataConfig
from sr3.data.dataset import PairDataset, image_at
from sr3.data.loader import batches
from sr3.data.pairs import PairRecipe


def test_every_epoch_shows_every_image_once():
    order = [image_at(position, length=10, seed=3) for position in range(30)]
    epochs = [order[:10], order[10:20], order[20:30]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.slow
def test_batches_are_a_function_of_seed_and_step():
    pictures = Pictures(*(smooth(32, 48) // (k + 1) for k in range(5)))
    dataset = PairDataset(pictures, PairRecipe(DataConfig(scale=4, crop=16, augment="dihedral", cache_gib=1.0)))

    def take(first_step: int, count: int, seed: int = 1) -> list[torch.Tensor]:
        feed = batches(dataset, batch=3, parts=[range(3)], seed=seed, first_step=first_step)
        taken = [torch.stack(next(feed)[0][:2]) for _ in range(count)]
        feed.close()
        return taken

    whole, resumed = take(0, 5), take(3, 2)
    assert torch.equal(torch.stack(whole[3:]), torch.stack(resumed))
    assert not torch.equal(torch.stack(whole[:2]), torch.stack(take(0, 2, seed=2)))


@pytest.mark.slow
def test_parts_make_up_the_batch():
    dataset = PairDataset(
        Pictures(*(smooth(32, 48) // (k + 1) for k in range(5))), PairRecipe(DataConfig(crop=16, augment="dihedral"))
    )
    [whole] = next(batches(dataset, batch=6, parts=[range(6)], seed=1, first_step=7))
    parts = next(batches(dataset, batch=6, parts=[range(2), range(2, 3), range(3, 6)], seed=1, first_step=7))
    assert torch.equal(torch.cat([part.y0 for part in parts]), whole.y0)
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
