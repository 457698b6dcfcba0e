import numpy as np
import pytest
import torch
from scipy import ndimage

from sr3.images.degrade import gaussian_blur


@pytest.mark.parametrize("deviation", [0.3, 0.8, 2.0, 7.3])
@pytest.mark.parametrize("size", [(9, 14), (40, 3)])
def test_the_blur_is_scipys(deviation, size):
    image = np.random.default_rng(0).standard_normal((2, *size))
    expected = np.stack([ndimage.gaussian_filter(plane, deviation, mode="nearest", truncate=4.0) for plane in image])
    np.testing.assert_allclose(gaussian_blur(torch.from_numpy(image), deviation).numpy(), expected, atol=1e-10)


def test_no_blur_changes_nothing():
    image = torch.rand(3, 5, 7)
    assert gaussian_blur(image, 0.0) is image
