import pytest
import torch

from sr3.diffusion.denoiser import Prediction
from sr3.diffusion.guidance import guided

LEVEL = torch.tensor([0.5], dtype=torch.float64)


def says(y0, eps):
    return lambda z, _: Prediction(torch.full_like(z, y0), torch.full_like(z, eps))


def test_guidance_goes_beyond_the_class_by_its_weight():
    prediction = guided(says(1.0, -1.0), says(0.6, -0.5), 1.5)(torch.zeros(1, 1, 1, 1), LEVEL)
    assert prediction.y0.item() == pytest.approx(2.5 * 1.0 - 1.5 * 0.6)
    assert prediction.eps.item() == pytest.approx(2.5 * -1.0 - 1.5 * -0.5)


def test_no_guidance_is_the_class_alone_in_one_call():
    def never(*_):
        raise AssertionError

    with_class = says(1.0, 0.0)
    assert guided(with_class, never, 0.0) is with_class
