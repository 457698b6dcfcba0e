"""How a training pair is made."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import Pictures, smooth
from sr3.config import DataConfig
from sr3.data.dataset import PairDataset, leave_out
from sr3.data.loader import make_batch
from sr3.data.pairs import PairRecipe, augment
from sr3.data.unusable import UnusableImages
from sr3.errors import DataError
from sr3.images.degrade import gaussian_blur
from sr3.images.resize import upsample

POOL = ThreadPoolExecutor(1)


def recipe(crop=0, kind="none", cache_gib=1.0, **others) -> PairRecipe:
    return PairRecipe(DataConfig(scale=4, crop=crop, augment=kind, cache_gib=cache_gib, **others))


def test_the_low_resolution_image_is_pillows_to_rounding():
    array = smooth(64, 96)
    low_res = PairDataset(Pictures(array), recipe()).centre(0, 1000).low_res
    ours = ((low_res + 1) * 127.5).round().permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(array).resize((24, 16), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(ours - theirs).max() <= 2  # Pillow rounds between its two passes as well
    channels = [Image.fromarray(array[..., c].astype(np.float32)) for c in range(3)]
    exact = np.dstack([np.asarray(c.resize((24, 16), Image.Resampling.BICUBIC)) for c in channels])
    assert np.abs(ours - exact.clip(0, 255)).max() <= 0.501


def test_the_condition_is_the_low_resolution_image_enlarged():
    pair = PairDataset(Pictures(smooth(64, 64)), recipe()).centre(0, 1000)
    grey = np.stack(
        [np.asarray(Image.fromarray(c).resize((64, 64), Image.Resampling.BICUBIC)) for c in pair.low_res.numpy()]
    )
    torch.testing.assert_close(pair.x, torch.from_numpy(grey), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_crop_is_cut_from_both_pictures_at_the_same_place():
    dataset = PairDataset(Pictures(smooth(96, 128)), recipe(crop=32))
    whole = dataset.centre(0, 1000)
    places = set()
    for seed in range(20):
        pair = dataset.pair(0, torch.Generator().manual_seed(seed))
        found = [
            (top, left)
            for top in range(0, 65, 4)
            for left in range(0, 97, 4)
            if torch.equal(whole.y0[:, top : top + 32, left : left + 32], pair.y0)
        ]
        assert len(found) == 1
        (top, left) = found[0]
        torch.testing.assert_close(pair.x, whole.x[:, top : top + 32, left : left + 32], atol=1e-5, rtol=0)
        torch.testing.assert_close(
            pair.low_res, whole.low_res[:, top // 4 : top // 4 + 8, left // 4 : left // 4 + 8], atol=0, rtol=0
        )
        places.add((top, left))
    assert len(places) > 10


@pytest.mark.slow
def test_turning_a_pair_is_making_the_pair_of_the_turned_picture():
    array = smooth(64, 64)
    pair = PairDataset(Pictures(array), recipe()).centre(0, 1000)
    for turn in range(8):
        turned = augment(torch.from_numpy(array).permute(2, 0, 1), turn, "dihedral").permute(1, 2, 0).numpy().copy()
        other = PairDataset(Pictures(turned), recipe()).centre(0, 1000)
        torch.testing.assert_close(augment(pair.x, turn, "dihedral"), other.x, atol=0.017, rtol=0)


def test_the_eight_symmetries_are_all_different_and_flip_uses_two():
    image = torch.arange(4.0).reshape(1, 2, 2)
    assert len({tuple(augment(image, turn, "dihedral").flatten().tolist()) for turn in range(8)}) == 8
    assert len({tuple(augment(image, turn, "flip").flatten().tolist()) for turn in range(8)}) == 2
    assert len({tuple(augment(image, turn, "none").flatten().tolist()) for turn in range(8)}) == 1


def test_sides_are_cut_to_multiples_of_the_scale():
    pair = PairDataset(Pictures(smooth(67, 97)), recipe()).centre(0, 1000)
    assert pair.y0.shape == pair.x.shape == (3, 64, 96)
    assert pair.low_res.shape == (3, 16, 24)


def test_the_cache_changes_nothing():
    with_cache, without = (PairDataset(Pictures(smooth(64, 64)), recipe(32, "flip", gib)) for gib in (1.0, 0.0))
    for seed in (1, 1, 2):
        a, b = (dataset.pair(0, torch.Generator().manual_seed(seed)) for dataset in (with_cache, without))
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y0, b.y0)


def test_grey_pictures_have_one_channel():
    dataset = PairDataset(Pictures(smooth(64, 64)[..., 0].copy()), recipe())
    assert dataset.image_channels == 1
    assert dataset.centre(0, 1000).y0.shape == (1, 64, 64)


def test_pictures_of_two_kinds_are_refused_by_name():
    dataset = PairDataset(Pictures(smooth(64, 64), smooth(64, 64)[..., 0].copy()), recipe())
    with pytest.raises(DataError, match="picture 1: has 1 channels"):
        dataset.centre(1, 1000)


def test_a_picture_smaller_than_the_crop_is_refused_by_name():
    with pytest.raises(DataError, match="picture 0: is 20x16, but a side needs 32 pixels"):
        PairDataset(Pictures(smooth(16, 20)), recipe(crop=32)).pair(0, torch.Generator())


def test_a_damaged_picture_is_refused_by_name():
    class Damaged(Pictures):
        def read(self, index):
            return super().read(index)[:200]

    with pytest.raises(DataError, match="picture 0: is damaged or cut short"):
        PairDataset(Damaged(smooth(64, 64)), recipe())


def test_whole_images_are_turned_too():
    dataset = PairDataset(Pictures(smooth(32, 48)), recipe(crop=0, kind="flip"))
    whole = dataset.centre(0, 1000)
    seen = {bool(torch.equal(dataset.pair(0, torch.Generator().manual_seed(seed)).y0, whole.y0)) for seed in range(10)}
    assert seen == {True, False}


def test_16_bits_are_learnt_as_they_are():
    class Deep(Pictures):
        def read(self, index):
            buffer = io.BytesIO()
            Image.fromarray(self.arrays[index]).save(buffer, "PNG")
            return buffer.getvalue()

    array = (np.arange(32 * 32, dtype=np.uint16) * 61).reshape(32, 32)
    pair = PairDataset(Deep(array), recipe()).centre(0, 32)
    np.testing.assert_allclose(((pair.y0[0] + 1) / 2 * 65535).numpy(), array, atol=0.02)
    levels = ((pair.low_res.double() + 1) / 2 * 65535).numpy()
    np.testing.assert_allclose(levels, levels.round(), atol=0.02)  # rounded like a file, to 16 bits
    assert len(np.unique(levels.round() % 257)) > 5


def test_floats_outside_their_range_are_refused():
    class Deep(Pictures):
        def read(self, index):
            buffer = io.BytesIO()
            np.save(buffer, self.arrays[index])
            return buffer.getvalue()

    with pytest.raises(DataError, match="picture 0: holds floats outside 0 to 1"):
        PairDataset(Deep(np.full((16, 16), 7.0, np.float32)), recipe())


def test_hidden_colours_are_not_learnt():
    opaque = np.dstack([smooth(16, 16), np.full((16, 16), 255, np.uint8)])
    assert PairDataset(Pictures(opaque), recipe()).image_channels == 3
    clear = opaque.copy()
    clear[0, 0, 3] = 0
    with pytest.raises(DataError, match="partly transparent"):
        PairDataset(Pictures(clear), recipe())


def test_images_of_different_sizes_in_one_batch_are_named():
    dataset = PairDataset(Pictures(smooth(32, 32), smooth(32, 48)), recipe())
    with pytest.raises(DataError, match=r"picture . \(\d+x32\), picture . \(\d+x32\); set data\.crop"):
        make_batch(dataset, batch=2, seed=0, step=0, places=range(2), pool=POOL)


def test_the_middle_of_an_image_is_a_pair_of_its_own():
    array = smooth(100, 130)
    pair = PairDataset(Pictures(array), recipe()).centre(0, 64)
    whole = PairDataset(Pictures(array[18:82, 33:97].copy()), recipe()).centre(0, 1000)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(pair[:3], whole[:3], strict=True))
    assert PairDataset(Pictures(smooth(30, 130)), recipe()).centre(0, 64).y0.shape == (3, 28, 64)


@pytest.mark.slow
def test_all_unusable_images_are_named_before_the_run():
    class Damaged(Pictures):
        def read(self, index):
            return b"nothing" if index == 3 else super().read(index)

    source = Damaged(smooth(64, 64), smooth(16, 64), smooth(64, 64)[..., 0].copy(), smooth(64, 64))
    with pytest.raises(DataError) as caught:
        leave_out(source, recipe(crop=32), UnusableImages(10))
    message = str(caught.value)
    for part in (
        "3 of 4 images",
        "picture 1 is 64x16",
        "picture 2 is grey, unlike the first",
        "picture 3 cannot be read",
    ):
        assert part in message
    assert "\n" not in message
    both = Pictures(smooth(64, 64), smooth(64, 80))
    assert leave_out(both, recipe(crop=32), UnusableImages(0)) is both


@pytest.mark.slow
def test_a_few_unusable_images_are_left_out_by_name():
    class Damaged(Pictures):
        def read(self, index):
            return b"nothing" if index == 3 else super().read(index)

    unusable, source = UnusableImages(2), Damaged(*(smooth(64, 64) for _ in range(4)), smooth(16, 16), smooth(64, 64))
    kept = leave_out(source, recipe(crop=32), unusable)
    assert [kept.name(k) for k in range(len(kept))] == [f"picture {k}" for k in (0, 1, 2, 5)]
    assert len(unusable) == 2
    first, second = unusable.unreported()
    assert "picture 3 cannot be read" in first
    assert "picture 4 is 16x16" in second
    assert unusable.unreported() == []
    with pytest.raises(DataError, match="2 of 6 images cannot be used"):
        leave_out(source, recipe(crop=32), UnusableImages(1))


@pytest.mark.slow
def test_an_image_found_damaged_later_is_replaced_by_the_next_and_counted_once():
    class Damaged(Pictures):
        def read(self, index):
            return b"nothing" if index == 1 else super().read(index)

    unusable = UnusableImages(1)
    dataset = PairDataset(Damaged(*(smooth(16, 16, seed=k) for k in range(3))), recipe(), unusable)
    draws = [torch.Generator().manual_seed(0) for _ in range(3)]
    assert torch.equal(dataset.pair(1, draws[0]).y0, dataset.pair(2, draws[1]).y0)
    dataset.pair(1, draws[2])
    assert len(unusable) == 1
    with pytest.raises(DataError, match=r"picture 1: is not an image Pillow can read.*data\.max_unusable"):
        PairDataset(Damaged(*(smooth(16, 16) for _ in range(3))), recipe()).pair(1, draws[0])


def test_a_blurred_condition_is_the_enlargement_of_a_blurred_input():
    dataset = PairDataset(Pictures(smooth(64, 64)), recipe(blur=3.0))
    pairs = [dataset.pair(0, torch.Generator().manual_seed(seed)) for seed in range(8)]
    clean = dataset.centre(0, 1000)
    assert all(torch.equal(pair.y0, clean.y0) and torch.equal(pair.low_res, clean.low_res) for pair in pairs)
    amounts = {float((pair.x - clean.x).abs().mean()) for pair in pairs}
    assert len(amounts) == 8
    # The amount is the second draw of the pair's own stream, after the turn.
    generator = torch.Generator().manual_seed(5)
    torch.randint(0, 8, (), generator=generator)
    deviation = 3.0 * float(torch.rand((), generator=generator))
    torch.testing.assert_close(pairs[5].x, upsample(gaussian_blur(clean.low_res, deviation), 4))


@pytest.mark.slow
def test_noise_on_the_condition_has_the_level_that_is_told():
    dataset = PairDataset(Pictures(np.full((256, 256, 3), 255, np.uint8)), recipe(condition_gamma=0.4))
    pairs = [dataset.pair(0, torch.Generator().manual_seed(seed)) for seed in range(6)]
    assert all(0.4 <= pair.level < 1 for pair in pairs)
    assert len({pair.level for pair in pairs}) == 6
    for pair in pairs:
        # The mean of 12,288 draws around a white image, whose value is 1.
        error = 4 * (1 - pair.level) ** 0.5 / 12_288**0.5
        assert float(pair.x.mean()) == pytest.approx(pair.level**0.5, abs=error)
    # Enlarging shrinks the spread of the noise by one factor, whatever the level.
    factors = [float(pair.x.std()) / (1 - pair.level) ** 0.5 for pair in pairs]
    assert max(factors) < 1.05 * min(factors)
    assert make_batch(dataset, batch=3, seed=0, step=0, places=range(3), pool=POOL).levels.dtype == torch.float64


def test_a_blurred_crop_is_cut_from_the_blurred_whole():
    dataset = PairDataset(Pictures(smooth(160, 160)), recipe(crop=32, blur=2.0))
    pair = dataset.pair(0, torch.Generator().manual_seed(0))
    low = dataset.centre(0, 1000).low_res
    generator = torch.Generator().manual_seed(0)
    torch.randint(0, 8, (), generator=generator)
    top, left = (int(torch.randint(0, 33, (), generator=generator)) for _ in range(2))
    deviation = 2.0 * float(torch.rand((), generator=generator))
    whole = upsample(gaussian_blur(low, deviation), 4)
    torch.testing.assert_close(pair.x, whole[:, 4 * top : 4 * top + 32, 4 * left : 4 * left + 32], atol=1e-5, rtol=0)


def test_a_generator_is_not_given_crops_of_larger_pictures():
    how = PairRecipe(DataConfig(scale=1, crop=32, augment="none", cache_gib=1.0), conditional=False)
    with pytest.raises(DataError, match=r"is 40x32, but a generator of side 32.*--size 32 --scale 1"):
        PairDataset(Pictures(smooth(32, 40)), how).pair(0, torch.Generator())
    with pytest.raises(DataError, match="1 of 2 images cannot be used: picture 1 is 64x64, but a generator"):
        leave_out(Pictures(smooth(32, 32), smooth(64, 64)), how, UnusableImages())


def test_images_without_a_class_are_named_before_the_run():
    labelled = Pictures(smooth(64, 64), smooth(64, 64), labels=(0, 3))
    with pytest.raises(DataError, match="picture 1 has no class from 0 to 2"):
        leave_out(labelled, recipe()._replace(classes=3), UnusableImages())


def test_held_out_images_are_clean():
    spoilt = recipe(blur=3.0, condition_gamma=0.4)
    pair, clean = (PairDataset(Pictures(smooth(64, 64)), how).centre(0, 64) for how in (spoilt, recipe()))
    assert torch.equal(pair.x, clean.x)
    assert pair.level == 1.0


def test_a_generators_pictures_have_no_condition():
    dataset = PairDataset(
        Pictures(smooth(32, 32)),
        PairRecipe(DataConfig(scale=1, crop=32, augment="none", cache_gib=1.0), conditional=False),
    )
    for pair in (dataset.pair(0, torch.Generator()), dataset.centre(0, 32)):
        assert (pair.x.shape, pair.low_res.shape) == ((0, 32, 32), (0, 32, 32))
        array = ((pair.y0 + 1) * 127.5).round().permute(1, 2, 0).byte().numpy()
        assert np.array_equal(array, smooth(32, 32))


def test_classes_come_with_the_pictures_when_asked_for():
    pictures = Pictures(*(smooth(32, 32, seed=k) for k in range(3)), labels=(2, 0, 5))
    asked = PairDataset(pictures, recipe()._replace(classes=6))
    assert [asked.centre(k, 32).label for k in range(3)] == [2, 0, 5]
    assert PairDataset(pictures, recipe()).centre(0, 32).label == -1
    with pytest.raises(DataError, match=r"picture 2: is of class 5, but network\.classes is 5"):
        PairDataset(pictures, recipe()._replace(classes=5)).centre(2, 32)
    with pytest.raises(DataError, match=r"picture 0: has no class; give one folder per class"):
        PairDataset(Pictures(smooth(32, 32)), recipe()._replace(classes=5)).centre(0, 32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg", "photo"])
def test_a_random_degradation_is_drawn_anew_and_leaves_crops_where_they_are(kind):
    pictures = Pictures(smooth(96, 128))
    plain, spoilt = (
        PairDataset(pictures, recipe(crop=32, kind="dihedral", degradation=name)) for name in ("bicubic", kind)
    )
    pairs = [(plain.pair(0, seeded(k)), spoilt.pair(0, seeded(k))) for k in range(4)]
    assert all(torch.equal(one.y0, other.y0) for one, other in pairs)
    assert not any(torch.equal(one.x, other.x) for one, other in pairs)
    assert all(other.low_res.shape == (3, 8, 8) for _, other in pairs)
    assert torch.equal(spoilt.pair(0, seeded(2)).x, pairs[2][1].x)
    assert torch.equal(spoilt.centre(0, 64).x, spoilt.centre(0, 64).x)
    assert not torch.equal(spoilt.centre(0, 64).x, plain.centre(0, 64).x)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_the_area_mean_can_be_the_input():
    pair = PairDataset(Pictures(smooth(64, 64)), recipe(degradation="area")).centre(0, 64)
    mean = smooth(64, 64).reshape(16, 4, 16, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(((pair.low_res + 1) * 127.5).permute(1, 2, 0).numpy() - mean).max() <= 0.5 + 1e-3


def test_the_condition_may_be_the_picture_of_8_bits_that_pillow_makes():
    dataset = PairDataset(Pictures(smooth(64, 64)), recipe(crop=32, enlarged="8-bit"))
    for pair in (dataset.centre(0, 1000), dataset.pair(0, torch.Generator().manual_seed(1))):
        levels = (pair.x + 1) * 127.5
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    pair = dataset.centre(0, 1000)
    low = ((pair.low_res + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    large = np.array(Image.fromarray(low).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(((pair.x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), large)
