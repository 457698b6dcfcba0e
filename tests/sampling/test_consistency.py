import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sr3.sampling.consistency import match_low_frequencies

pytestmark = pytest.mark.slow


def waves(seed, height, width, *, spread=0.5):
    """Draw a smooth image: a few slow waves, [-spread, spread], shape (1, 3, h, w)."""
    random = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    picture = np.zeros((3, height, width))
    for _ in range(4):
        turns, phase = random.uniform(-2, 2, 2), random.uniform(0, 2 * np.pi, (3, 1, 1))
        picture += np.sin(2 * np.pi * (turns[0] * rows + turns[1] * columns) + phase)
    return torch.from_numpy(spread * picture / 4)[None].float()


def shrunk(image, scale):
    """Downsample with Pillow."""
    size = image.shape[-1] // scale, image.shape[-2] // scale
    channels = [
        np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BICUBIC)) for channel in image[0].numpy()
    ]
    return torch.from_numpy(np.stack(channels))[None]


def error(image, low_res, scale):
    """Mean squared difference in the [0, 1] range."""
    return ((shrunk(image, scale) - low_res) / 2).square().mean().item()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 8]), st.integers(8, 16), st.integers(8, 16))
def test_the_downsampled_result_is_the_input(seed, scale, height, width):
    low_res = shrunk(waves(seed, height * scale, width * scale), scale)
    other = waves(seed + 1, height * scale, width * scale)
    assert error(other, low_res, scale) > 1e-5
    assert error(match_low_frequencies(other, low_res), low_res, scale) < 1e-7


@pytest.mark.parametrize("shift", [(0.3, -0.2, 0.1), (-0.4, -0.4, -0.4)])
def test_a_shift_of_colour_is_removed(shift):
    image = waves(0, 32, 48)
    shifted = image + torch.tensor(shift).reshape(1, 3, 1, 1)
    torch.testing.assert_close(match_low_frequencies(shifted, shrunk(image, 4)), image, atol=2e-3, rtol=0)


def test_detail_that_downsampling_does_not_see_is_kept():
    image = waves(1, 32, 32)
    board = torch.ones(32, 32)
    board[::2, 1::2] = board[1::2, ::2] = -1
    detailed = image + 0.2 * board
    torch.testing.assert_close(match_low_frequencies(detailed, shrunk(image, 4)), detailed, atol=2e-2, rtol=0)


def test_a_picture_that_agrees_is_left_alone():
    image = waves(2, 24, 24)
    torch.testing.assert_close(match_low_frequencies(image, shrunk(image, 4)), image, atol=1e-5, rtol=0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4]))
def test_the_result_is_held_in_the_range_of_pixels(seed, scale):
    random = np.random.default_rng(seed)
    image = torch.from_numpy(random.uniform(-1.5, 1.5, (2, 3, 6 * scale, 5 * scale))).float()
    low_res = torch.from_numpy(random.choice([-1.0, 1.0], (2, 3, 6, 5))).float()
    result = match_low_frequencies(image, low_res)
    assert result.shape == image.shape
    assert result.abs().max() <= 1


def test_more_rounds_come_closer():
    low_res = shrunk(waves(3, 32, 32), 4)
    errors = [
        error(match_low_frequencies(waves(4, 32, 32), low_res, rounds=rounds), low_res, 4) for rounds in (0, 1, 3)
    ]
    assert errors[0] > 10 * errors[1] > 50 * errors[2]


def test_images_of_a_batch_do_not_mix():
    images = torch.cat([waves(5, 16, 16), waves(6, 16, 16)])
    low_res = torch.cat([shrunk(waves(7, 16, 16), 2), shrunk(waves(8, 16, 16), 2)])
    together = match_low_frequencies(images, low_res)
    for k in range(2):
        assert torch.equal(together[k : k + 1], match_low_frequencies(images[k : k + 1], low_res[k : k + 1]))


@pytest.mark.parametrize(("height", "width"), [(64, 80), (61, 43), (7, 5)])
def test_cells_match_what_is_larger_and_leave_what_is_finer(height, width):
    truth = waves(0, 4 * height, 4 * width)
    clean = shrunk(truth, 4)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    blocky = clean + 0.05 * (-1.0) ** (rows + columns)  # as fine as the input can be
    shifted = truth + 0.2
    matched = match_low_frequencies(shifted, blocky, cell=8)
    if height % 8 == 0 and width % 8 == 0:
        torch.testing.assert_close(shrunk(matched, 32), shrunk(blocky, 8), rtol=0, atol=2e-3)
    assert float((matched - truth).abs().mean()) < 0.02  # the shift is gone, the checks are not there
    exact = match_low_frequencies(shifted, blocky)
    assert float((exact - truth).abs().mean()) > 0.025  # which matching every pixel puts back
