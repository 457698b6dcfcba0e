from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sr3.diffusion.denoiser import Prediction
from sr3.sampling.tiling import Window, tiled, window_weight, windows

GAMMA = torch.tensor([0.3, 0.8], dtype=torch.float64)


@st.composite
def covers(draw):
    """An image and a way to cut it that leaves the windows room to advance by the multiple."""
    multiple = 2 ** draw(st.integers(0, 7))
    overlap = draw(st.integers(0, 64))
    tile = overlap + 2 * multiple + draw(st.integers(0, 200))
    return draw(st.integers(1, 700)), draw(st.integers(1, 700)), tile, overlap, multiple


@pytest.mark.slow
@given(covers())
def test_windows_cover_the_picture_and_overlap_as_asked(cover):
    height, width, tile, overlap, multiple = cover
    cut = windows(height, width, tile=tile, overlap=overlap, multiple=multiple)
    covered = np.zeros((height, width), dtype=bool)
    for window in cut:
        assert 0 < window.height <= tile
        assert 0 < window.width <= tile
        assert window.top % multiple == window.left % multiple == 0
        assert window.top + window.height <= height
        assert window.left + window.width <= width
        covered[window.top : window.top + window.height, window.left : window.left + window.width] = True
    assert covered.all()
    for start, length in (("top", "height"), ("left", "width")):
        spans = sorted({(getattr(window, start), getattr(window, length)) for window in cut})
        for (first, extent), (second, _) in pairwise(spans):
            assert first + extent - second >= overlap
    assert len(cut) == len({window.top for window in cut}) * len({window.left for window in cut})


def test_a_picture_of_one_tile_is_one_window():
    assert windows(30, 40, tile=40, overlap=8, multiple=8) == [Window(0, 0, 30, 40)]


def test_no_more_windows_are_cut_than_needed():
    cut = windows(64, 160, tile=64, overlap=16, multiple=8)
    assert cut == [Window(0, 0, 64, 64), Window(0, 48, 64, 64), Window(0, 96, 64, 64)]


def test_windows_are_no_larger_than_needed_and_only_the_last_is_cut_short():
    cut = windows(140, 8, tile=96, overlap=16, multiple=8)
    assert cut == [Window(0, 0, 80, 8), Window(64, 0, 76, 8)]


def test_windows_overlap_where_the_multiple_is_larger_than_the_overlap():
    cut = windows(8, 1984, tile=1024, overlap=64, multiple=128)
    for left, right in pairwise(cut):
        assert left.left + left.width - right.left >= 64


@pytest.mark.parametrize(("tile", "overlap", "multiple"), [(64, 64, 1), (70, 64, 16), (192, 64, 128)])
def test_tiles_that_cannot_advance_are_refused(tile, overlap, multiple):
    with pytest.raises(ValueError, match="cannot overlap"):
        windows(500, 500, tile=tile, overlap=overlap, multiple=multiple)


def test_a_window_cuts_its_rectangle():
    image = torch.arange(2 * 6 * 8).reshape(2, 6, 8)
    assert torch.equal(Window(1, 2, 3, 5).of(image), image[:, 1:4, 2:7])


def test_the_weight_is_1_inside_and_at_the_border_of_the_picture():
    whole = window_weight(Window(0, 0, 20, 30), 20, 30, overlap=8)
    assert torch.equal(whole, torch.ones(20, 30))
    corner = window_weight(Window(0, 0, 20, 20), 40, 40, overlap=8)
    assert torch.equal(corner[:12, :12], torch.ones(12, 12))


def test_the_weight_rises_over_the_overlap_and_its_outer_quarter_counts_for_nothing():
    weight = window_weight(Window(32, 32, 48, 40), 112, 104, overlap=16).double()
    # The outer 4 of 16 pixels: nothing; the middle 8: a squared sine; the inner 4: full.
    rise = np.array([0] * 4 + [np.sin((k + 0.5) / 8 * np.pi / 2) ** 2 for k in range(8)] + [1] * 4)
    down, across = np.ones(48), np.ones(40)
    for ramp in (down, across):
        ramp[:16], ramp[-16:] = rise, rise[::-1]
    np.testing.assert_allclose(weight, down[:, None] * across, atol=1e-6)
    assert weight.min() > 0


def test_the_weights_of_two_neighbours_sum_to_1():
    first = window_weight(Window(0, 0, 8, 40), 8, 72, overlap=16)
    second = window_weight(Window(0, 24, 8, 48), 8, 72, overlap=16)
    # Cut at 24 and at 40: the overlap is [24, 40).
    np.testing.assert_allclose(first[:, 24:] + second[:, :16], 1, atol=1e-6)


def pointwise(z, gamma):
    """Denoise every pixel for itself."""
    return predicted(torch.tanh(gamma.float().reshape(-1, 1, 1, 1) * z), z, gamma)


def predicted(y0, z, gamma):
    """Give both readings of a clean state, by Eq. 5."""
    level = gamma.float().reshape(-1, 1, 1, 1)
    return Prediction(y0, (z - level.sqrt() * y0) / (1 - level).sqrt())


@pytest.mark.slow
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(24, 8, 8), (40, 16, 4), (33, 7, 1)]))
def test_a_pointwise_denoiser_does_not_see_the_tiles(height, width, cut):
    tile, overlap, multiple = cut
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, height, width))).float()
    cover = windows(height, width, tile=tile, overlap=overlap, multiple=multiple)
    joined = tiled(lambda _: pointwise, cover, overlap=overlap)(z, GAMMA)
    for part, whole in zip(joined, pointwise(z, GAMMA), strict=True):
        torch.testing.assert_close(part, whole, atol=1e-5, rtol=0)


def test_a_network_that_sees_less_than_a_quarter_of_the_overlap_does_not_see_the_tiles():
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1)]
    network = nn.Sequential(*layers).requires_grad_(False)  # sees 3 pixels to each side

    def denoise(z, gamma):
        return predicted(network(z) * gamma.float().reshape(-1, 1, 1, 1), z, gamma)

    z = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, 75, 100))).float()
    cover = windows(75, 100, tile=48, overlap=16, multiple=4)
    assert len(cover) == 6
    joined = tiled(lambda _: denoise, cover, overlap=16)(z, GAMMA)
    for part, whole in zip(joined, denoise(z, GAMMA), strict=True):
        torch.testing.assert_close(part, whole, atol=1e-4, rtol=0)
    # The windows themselves do see their cuts.
    cut = denoise(cover[0].of(z), GAMMA).y0 - cover[0].of(denoise(z, GAMMA).y0)
    assert cut.abs().max() > 1e-2


def test_the_order_in_which_windows_are_named_changes_no_bit():
    z = torch.from_numpy(np.random.default_rng(3).standard_normal((1, 3, 90, 90))).float()
    cover = windows(90, 90, tile=40, overlap=16, multiple=4)

    def of_window(window):  # every window sees its own, so the order of the sums would show
        return lambda part, gamma: predicted(part * (1 + window.top / 7 + window.left / 11), part, gamma)

    one, other = (tiled(of_window, order, overlap=16)(z, GAMMA[:1]) for order in (cover, cover[::-1]))
    assert torch.equal(one.y0, other.y0)
    assert torch.equal(one.eps, other.eps)


def test_each_window_is_denoised_once_with_its_own_part():
    cover = windows(60, 60, tile=40, overlap=16, multiple=4)
    z = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 3, 60, 60))).float()
    before, asked = z.clone(), []

    def of_window(window):
        def denoise(part, gamma):
            assert torch.equal(part, window.of(z))
            assert gamma is GAMMA
            asked.append(window)
            return pointwise(part, gamma)

        return denoise

    tiled(of_window, cover, overlap=16)(z, GAMMA)
    assert asked == cover
    assert torch.equal(z, before)
