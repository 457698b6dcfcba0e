"""Ripples and grain beside signals of known energy, and numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from sr3.metrics.flat_areas import grain, ripples


def noise(seed, size=(1, 3, 64, 64), deviation=0.5 / 255):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 2 * deviation


def test_a_picture_with_its_truths_grain_has_one_and_with_twice_the_amplitude_four():
    truth = noise(0)
    assert ripples(truth, truth).item() == pytest.approx(1)
    assert ripples(2 * truth, truth).item() == pytest.approx(4)


@pytest.mark.parametrize(("wavelength", "amplitude"), [(4, 0.94), (8, 0.5), (32, 0.042)])
def test_long_waves_are_not_ripples(wavelength, amplitude):
    """The Gaussian of half amplitude at 8 pixels passes 2^-(8 / wavelength)^2, and the rest is measured."""
    finest = torch.tensor([1.0, -1.0]).repeat(128).expand(1, 3, 64, 256) * 1e-3  # passes untouched
    wave = torch.sin(2 * math.pi * (torch.arange(256) + 0.5) / wavelength).expand(1, 3, 64, 256) * 1e-3
    assert amplitude == pytest.approx(1 - 2 ** -((8 / wavelength) ** 2), abs=0.003)
    assert ripples(wave, finest).item() == pytest.approx(amplitude**2 / 2, rel=0.05)


def test_what_a_picture_has_where_the_truth_is_not_flat_does_not_count():
    truth = torch.cat([noise(0), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))], dim=-1)
    spoilt = truth.clone()
    spoilt[..., 80:] += noise(2, (1, 3, 64, 48), deviation=0.2)
    assert ripples(spoilt, truth).item() == pytest.approx(1)


def test_a_truth_without_flat_areas_or_without_grain_has_none():
    busy = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert ripples(busy, busy).isnan().all()
    assert ripples(noise(0), torch.zeros(1, 3, 64, 64)).isnan().all()
    assert ripples(noise(0)[..., :8, :8], noise(0)[..., :8, :8]).isnan().all()


def test_a_picture_in_a_batch_has_what_it_has_alone():
    truths, images = torch.cat([noise(0), noise(1)]), torch.cat([noise(2), 3 * noise(3)])
    together = ripples(images, truths)
    for k in range(2):
        assert together[k] == ripples(images[k : k + 1], truths[k : k + 1])[0]


def test_the_grain_of_white_noise_is_eight_ninths_of_its_variance():
    """A pixel less the mean of nine has the variance 1 - 1/9 of independent pixels."""
    image = noise(3, (1, 3, 256, 256), deviation=1.5 / 255)
    found = grain(image, torch.zeros(1, 3, 256, 256)).item()
    assert found == pytest.approx(1.5 * math.sqrt(8 / 9), rel=0.01)


def test_grain_is_what_scipy_finds_where_the_truth_is_flat():
    truth = torch.cat([noise(0), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))], dim=-1)
    image = truth + noise(2, (1, 3, 64, 128), deviation=2 / 255)
    levels = [np.asarray(part[0].double()) * 127.5 for part in (truth, image)]
    mean, square = (uniform_filter(part, (0, 9, 9)) for part in (levels[0], levels[0] ** 2))
    flat = (square - mean**2 < 2**2).all(axis=0)
    flat[:4], flat[-4:], flat[:, :4], flat[:, -4:] = False, False, False, False
    finest = levels[1] - uniform_filter(levels[1], (0, 3, 3))
    assert grain(image, truth).item() == pytest.approx(finest[:, flat].std(), rel=1e-6)


def test_an_image_without_flat_areas_has_no_grain():
    busy = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert grain(busy, busy).isnan().all()
    assert grain(noise(0)[..., :8, :8], noise(0)[..., :8, :8]).isnan().all()


def test_the_grain_of_an_image_in_a_batch_is_that_of_the_image_alone():
    truths, images = torch.cat([noise(0), noise(1)]), torch.cat([noise(2), 3 * noise(3)])
    together = grain(images, truths)
    for k in range(2):
        assert together[k] == pytest.approx(grain(images[k : k + 1], truths[k : k + 1]).item())
