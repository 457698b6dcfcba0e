"""Luminance as others compute it, borders, and the shift of a colour that was moved."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr

from sr3.metrics.colour import colour_shift, luminance, without_border


def test_luminance_is_that_of_scikit_image():
    image = torch.rand(2, 3, 6, 5) * 2 - 1
    expected = rgb2ycbcr((image.double().numpy().transpose(0, 2, 3, 1) + 1) / 2)[..., 0]
    np.testing.assert_allclose((luminance(image)[:, 0].numpy() + 1) * 127.5, expected, rtol=1e-7)


def test_black_and_white_have_16_and_235():
    ends = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert ((luminance(ends) + 1) * 127.5).flatten().tolist() == pytest.approx([16, 235])


def test_grey_has_no_luminance_of_its_own():
    with pytest.raises(ValueError, match="3 channels"):
        luminance(torch.zeros(1, 1, 4, 4))


def test_a_border_is_left_out_at_every_edge():
    image = torch.arange(30.0).reshape(1, 1, 5, 6)
    assert without_border(image, 2).tolist() == [[[[14.0, 15.0]]]]
    assert torch.equal(without_border(image, 0), image)
    for rows, border in ((5, 3), (4, 2)):  # more than half, and exactly half
        with pytest.raises(ValueError, match=f"6x{rows} has nothing left"):
            without_border(image[..., :rows, :], border)


def test_the_colour_shift_is_that_of_the_channel_that_moved_most():
    low_res = torch.rand(2, 3, 6, 5) * 2 - 1
    planes = [Image.fromarray(plane.numpy(), mode="F") for plane in low_res.flatten(0, 1)]
    enlarged = [np.asarray(plane.resize((20, 24), Image.Resampling.BICUBIC)) for plane in planes]
    image = torch.from_numpy(np.stack(enlarged)).reshape(2, 3, 24, 20)
    assert colour_shift(image, low_res).tolist() == pytest.approx([0, 0], abs=1e-4)
    moved = image + torch.tensor([[1.0, -3.0, 2.0], [0.5, 0.0, 0.25]])[..., None, None] / 127.5
    assert colour_shift(moved, low_res).tolist() == pytest.approx([3, 0.5], abs=1e-4)
