import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sr3.images.resize import downsample, resize, upsample

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS, "area": Image.Resampling.BOX}

sides = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def picture(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, shape))


def by_pillow(image, height, width, method):
    """Resize an (h, w) image in Pillow's 32-bit float mode."""
    resized = Image.fromarray(image.float().numpy()).resize((width, height), FILTERS[method])
    return np.asarray(resized)


def cell_means(row, size):
    """Mean of a step function over equal cells, from the differences of its integral."""
    edges = np.linspace(0, len(row), size + 1)
    integral = np.interp(edges, np.arange(len(row) + 1), np.concatenate([[0], np.cumsum(row)]))
    return np.diff(integral) * size / len(row)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bicubic", "lanczos"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(sides, sides, sides, sides, seeds)
def test_resizing_equals_pillow(dtype, method, height, width, new_height, new_width, seed):
    image = picture(seed, height, width).float()
    result = resize(image.to(dtype), new_height, new_width, method=method)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, by_pillow(image, new_height, new_width, method), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [(300, 7), (7, 300), (113, 251)])
@pytest.mark.parametrize("method", ["bicubic", "lanczos"])
def test_resizing_equals_pillow_on_long_sides(size, method):
    image = picture(0, 128, 97)
    np.testing.assert_allclose(resize(image, *size, method=method), by_pillow(image, *size, method), rtol=0, atol=2e-6)


def test_bicubic_is_the_filter_unless_told():
    image = picture(1, 9, 9)
    assert torch.equal(resize(image, 5, 14), resize(image, 5, 14, method="bicubic"))


@pytest.mark.slow
@given(sides, sides, st.integers(1, 5), st.integers(1, 5), seeds)
def test_area_equals_the_box_of_pillow_for_whole_ratios(height, width, down, across, seed):
    image = picture(seed, height * down, width * across).float()
    result = resize(image, height, width, method="area")
    np.testing.assert_allclose(result, by_pillow(image, height, width, "area"), rtol=0, atol=1e-6)


@pytest.mark.slow
@given(st.data(), sides, sides, seeds)
def test_area_is_the_mean_over_each_exact_cell(data, height, width, seed):
    new_height, new_width = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    image = picture(seed, height, width)
    expected = np.apply_along_axis(cell_means, 1, image.numpy(), new_width)
    expected = np.apply_along_axis(cell_means, 0, expected, new_height)
    np.testing.assert_allclose(resize(image, new_height, new_width, method="area"), expected, atol=1e-10)


@pytest.mark.slow
@given(st.integers(1, 12), st.integers(1, 5), seeds)
def test_enlarging_by_area_repeats_pixels(side, scale, seed):
    image = picture(seed, side, side)
    expected = image.numpy().repeat(scale, axis=0).repeat(scale, axis=1)
    assert torch.equal(resize(image, side * scale, side * scale, method="area"), torch.from_numpy(expected))


@pytest.mark.slow
@given(sides, sides, sides, sides, st.sampled_from(list(FILTERS)), st.floats(-1, 1))
def test_constant_pictures_stay_constant(height, width, new_height, new_width, method, value):
    image = torch.full((height, width), value, dtype=torch.float64)
    result = resize(image, new_height, new_width, method=method)
    assert result.shape == (new_height, new_width)
    np.testing.assert_allclose(result, value, atol=1e-12)


@pytest.mark.parametrize("method", list(FILTERS))
def test_every_leading_dimension_is_resized_alike(method):
    image = picture(2, 2, 3, 9, 7)
    together = resize(image, 5, 12, method=method)
    assert together.shape == (2, 3, 5, 12)
    for b in range(2):
        for c in range(3):
            assert torch.equal(together[b, c], resize(image[b, c], 5, 12, method=method))


def test_a_picture_of_the_right_size_is_left_alone():
    image = picture(3, 3, 9, 7)
    assert torch.equal(resize(image, 9, 7), image)


def test_resizing_leaves_its_input_alone():
    image = picture(4, 3, 9, 7)
    before = image.clone()
    resize(image, 4, 12).zero_()
    resize(image, 9, 7)
    assert torch.equal(image, before)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_sides_below_1_are_refused(size):
    with pytest.raises(ValueError, match="at least 1"):
        resize(picture(5, 9, 7), *size)


@pytest.mark.slow
@given(sides, sides, st.integers(2, 8), seeds)
def test_upsampling_is_bicubic_by_the_scale(height, width, scale, seed):
    image = picture(seed, height, width)
    expected = by_pillow(image, height * scale, width * scale, "bicubic")
    np.testing.assert_allclose(upsample(image, scale), expected, rtol=0, atol=2e-6)


@pytest.mark.slow
@given(sides, sides, st.integers(2, 8), seeds)
def test_downsampling_is_the_8_bit_result_of_pillow_to_one_rounding(height, width, scale, seed):
    # Pillow clips between its two passes in 8 bits, so the image leaves room for the overshoot.
    size = (height * scale, width * scale, 3)
    pixels = np.random.default_rng(seed).integers(50, 206, size, dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    result = downsample(torch.from_numpy(pixels / 255).permute(2, 0, 1), scale)
    levels = (result * 255).round().clamp(0, 255).permute(1, 2, 0)
    np.testing.assert_allclose(levels, expected, rtol=0, atol=1)


def test_downsampling_rounds_sides_down():
    assert downsample(picture(6, 3, 13, 18), 4).shape == (3, 3, 4)


def test_gradients_pass_through():
    image = picture(7, 1, 1, 6, 5).requires_grad_()
    resize(image, 3, 10).sum().backward()
    # Every output is a weighted mean, so the gradients sum to the number of outputs.
    assert image.grad.sum().item() == pytest.approx(30)
