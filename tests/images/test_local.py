import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from sr3.images.local import local_mean


@pytest.mark.parametrize("side", [1, 3, 5, 7, 9, 13, 17])
@pytest.mark.parametrize("shape", [(2, 3, 31, 24), (1, 1, 9, 40), (1, 1, 8, 9), (2, 3, 1, 40), (1, 1, 1, 1)])
def test_the_mean_is_that_of_the_window_around_each_pixel(side, shape):
    image = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mode = "mirror" if min(shape[-2:]) > side // 2 else "nearest"
    expected = uniform_filter(image.numpy(), (1, 1, side, side), mode=mode)
    np.testing.assert_allclose(local_mean(image, side).numpy(), expected, rtol=0, atol=1e-14)


def test_gradients_go_through_the_mean():
    image = torch.rand(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: local_mean(image, 5), image)


def test_float32_keeps_its_figures():
    """In float32 a mean of values near 1 is right to a rounding of its sum."""
    image = 1 - torch.rand(1, 1, 64, 64) / 1000
    expected = uniform_filter(image[0, 0].double().numpy(), 17, mode="mirror")
    np.testing.assert_allclose(local_mean(image, 17)[0, 0].numpy(), expected, rtol=3e-7)
