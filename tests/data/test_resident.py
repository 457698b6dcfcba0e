"""Pairs made on the device that trains are those that the dataset makes of the same crops."""

import numpy as np
import pytest
import torch

from pictures import Pictures, smooth
from sr3.config import DataConfig
from sr3.data.dataset import PairDataset, image_at, images_at
from sr3.data.pairs import PairRecipe, augment
from sr3.data.resident import Cuts, ResidentPairs
from sr3.errors import ConfigError, DataError

CPU = torch.device("cpu")
MIXED = (smooth(96, 128, seed=1), smooth(112, 80, seed=2), smooth(96, 96, seed=3))


def recipe(crop=32, kind="dihedral", **others) -> PairRecipe:
    asked = {name: others.pop(name) for name in ("classes", "conditional") if name in others}
    return PairRecipe(DataConfig(**{"scale": 4, "crop": crop, "augment": kind, "cache_gib": 0.0, **others}), **asked)


def resident(recipe: PairRecipe, *arrays: np.ndarray) -> tuple[ResidentPairs, PairDataset]:
    dataset = PairDataset(Pictures(*arrays), recipe)
    return ResidentPairs(dataset, CPU), dataset


@pytest.mark.slow
@pytest.mark.parametrize("enlarged", ["full", "8-bit"])
def test_every_crop_in_every_turn_is_cut_from_the_whole_pictures(enlarged):
    made, _ = resident(recipe(enlarged=enlarged), *MIXED)
    whole = PairDataset(Pictures(*MIXED), recipe(crop=0, kind="none", enlarged=enlarged))
    corners = [(0, 0), (0, 12), (16, 0), (3, 5), (7, 11), (16, 12), (16, 16), (1, 1)]
    for index in range(3):
        rows, columns = (side // 4 - 8 for side in MIXED[index].shape[:2])
        places = [(min(top, rows), min(left, columns)) for top, left in (*corners, (rows, columns))]
        turns = [k % 8 for k in range(len(places))]
        batch = made.make(Cuts(torch.full((len(places),), index), torch.tensor(places), torch.tensor(turns)))
        pair = whole.centre(index, 1000)
        for k, ((top, left), turn) in enumerate(zip(places, turns, strict=True)):
            large = (..., slice(4 * top, 4 * top + 32), slice(4 * left, 4 * left + 32))
            small = (..., slice(top, top + 8), slice(left, left + 8))
            assert torch.equal(batch.y0[k], augment(pair.y0[large], turn, "dihedral"))
            assert torch.equal(batch.low_res[k], augment(pair.low_res[small], turn, "dihedral"))
            torch.testing.assert_close(batch.x[k], augment(pair.x[large], turn, "dihedral"), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_an_epoch_is_one_shuffle_and_crops_lie_everywhere():
    made, dataset = resident(recipe(kind="flip"), *MIXED)
    drawn = [made.draw(step, batch=2, seed=5) for step in range(150)]
    index = torch.cat([cuts.image for cuts in drawn])
    assert index.tolist() == [image_at(k, length=3, seed=5) for k in range(300)]
    assert all(sorted(index[k : k + 3].tolist()) == [0, 1, 2] for k in range(0, 300, 3))
    corners, turns = torch.cat([cuts.corner for cuts in drawn]), torch.cat([cuts.turn for cuts in drawn])
    for k, array in enumerate(MIXED):
        here = corners[index == k]
        assert here.amin(0).tolist() == [0, 0]
        assert here.amax(0).tolist() == [side // 4 - 8 for side in array.shape[:2]]
    assert set(turns.tolist()) == {0, 1}
    assert torch.equal(
        images_at(torch.arange(4, 11), length=3, seed=9),
        torch.tensor([image_at(k, length=3, seed=9) for k in range(4, 11)]),
    )
    assert dataset.described == made.described


def test_batches_follow_from_the_step_alone_and_are_cut_into_parts():
    made, _ = resident(recipe(), *MIXED)
    feed = made.batches(batch=4, parts=[range(4)], seed=1, first_step=0)
    next(feed)
    [second] = next(feed)
    parts = next(made.batches(batch=4, parts=[range(2), range(2, 4)], seed=1, first_step=1))
    assert torch.equal(torch.cat([part.y0 for part in parts]), second.y0)
    assert torch.equal(torch.cat([part.x for part in parts]), second.x)
    assert second.y0.shape == (4, 3, 32, 32)
    assert second.low_res.shape == (4, 3, 8, 8)


def test_whole_pictures_generators_and_classes():
    labelled = Pictures(smooth(32, 48), smooth(32, 48, seed=1), labels=(4, 2))
    made = ResidentPairs(PairDataset(labelled, recipe(crop=0, kind="flip", classes=5)), CPU)
    batch = made.make(made.draw(0, batch=2, seed=0))
    assert batch.y0.shape == batch.x.shape == (2, 3, 32, 48)
    assert sorted(batch.labels.tolist()) == [2, 4]
    made, _ = resident(recipe(scale=1, crop=32, conditional=False), smooth(32, 32), smooth(32, 32, seed=1))
    batch = made.make(made.draw(0, batch=2, seed=0))
    assert batch.y0.shape == (2, 3, 32, 32)
    assert batch.x.shape == batch.low_res.shape == (2, 0, 32, 32)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"degradation": "photo"},
            "data.degradation photo, which is drawn anew for every pair; set data.feed to threads",
        ),
        ({"blur": 1.0}, "data.blur, which is drawn anew"),
        ({"condition_gamma": 0.5}, "data.condition_gamma, which is drawn anew"),
    ],
)
def test_what_is_drawn_for_every_pair_is_refused(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        resident(recipe(**settings), *MIXED)


@pytest.mark.slow
def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="of different sizes cannot share a batch"):
        resident(recipe(crop=0, kind="none"), *MIXED)
    with pytest.raises(DataError, match="needs sides of 96 pixels for crops of 64"):
        resident(recipe(crop=64), *MIXED)
    with pytest.raises(DataError, match="these images are not square"):
        resident(recipe(crop=0), smooth(32, 48), smooth(32, 48))
