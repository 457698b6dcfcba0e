import pytest
import torch

from sr3.images.alpha import fill_transparent

SIZES = [(1, 1), (1, 7), (8, 8), (13, 5), (33, 64)]


def drawn(height, width, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(channels, height, width, generator=generator) * 2 - 1
    alpha = torch.rand(1, height, width, generator=generator)
    return pixels, torch.where(torch.rand(1, height, width, generator=generator) < 0.7, 0, alpha)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_visible_pixels_come_back_bit_equal(size, channels):
    pixels, alpha = drawn(*size, channels)
    filled = fill_transparent(pixels, alpha)
    assert filled.shape == pixels.shape
    assert filled.dtype == pixels.dtype
    assert torch.equal(filled.where(alpha > 0, 0), pixels.where(alpha > 0, 0))


@pytest.mark.parametrize("size", SIZES)
def test_the_hidden_colour_has_no_influence(size):
    pixels, alpha = drawn(*size)
    hidden = pixels.where(alpha > 0, torch.full_like(pixels, float("nan")))
    assert torch.equal(fill_transparent(hidden, alpha), fill_transparent(pixels, alpha))


@pytest.mark.parametrize("size", SIZES[1:])
def test_filled_colours_lie_between_the_visible_ones(size):
    pixels, alpha = drawn(*size)
    visible = pixels[:, alpha[0] > 0]
    filled = fill_transparent(pixels, alpha).flatten(1)
    assert (filled >= visible.amin(1, keepdim=True) - 1e-6).all()
    assert (filled <= visible.amax(1, keepdim=True) + 1e-6).all()


def test_one_visible_colour_fills_all():
    pixels, alpha = torch.full((3, 37, 50), 0.25), torch.zeros(1, 37, 50)
    alpha[0, 3, 41] = 0.01
    filled = fill_transparent(pixels.where(alpha > 0, -1), alpha)
    assert torch.allclose(filled, pixels, atol=1e-6)


def test_a_transparent_band_passes_smoothly_from_one_side_to_the_other():
    pixels, alpha = torch.zeros(1, 32, 32), torch.ones(1, 32, 32)
    pixels[..., :8], pixels[..., 24:] = -1, 1
    alpha[..., 8:24] = 0
    row = fill_transparent(pixels, alpha)[0, 16]
    steps = row.diff()
    assert (steps >= -1e-6).all()
    assert steps.max() < 0.5
    assert row[8] < -0.5 < 0.5 < row[23]


def test_a_nearly_transparent_colour_counts_for_little():
    pixels, alpha = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    pixels[0, 0] = torch.tensor([1.0, -1.0, 0.0, 0.0])
    alpha[0, 0, :2] = torch.tensor([1.0, 1 / 255])
    assert (fill_transparent(pixels, alpha)[0, 0, 2:] > 0.95).all()


def test_a_wholly_transparent_picture_becomes_mid_grey():
    pixels, _ = drawn(9, 6)
    assert torch.equal(fill_transparent(pixels, torch.zeros(1, 9, 6)), torch.zeros(3, 9, 6))


def test_an_opaque_picture_comes_back_bit_equal():
    pixels, _ = drawn(9, 6)
    assert torch.equal(fill_transparent(pixels, torch.ones(1, 9, 6)), pixels)
