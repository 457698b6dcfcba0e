import math

import pytest
import torch

from sr3.metrics.ripples import ripples


def grain(seed, size=(1, 3, 64, 64), deviation=0.5 / 255):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 2 * deviation


def test_a_picture_with_its_truths_grain_has_one_and_with_twice_the_amplitude_four():
    truth = grain(0)
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
    truth = torch.cat([grain(0), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))], dim=-1)
    spoilt = truth.clone()
    spoilt[..., 80:] += grain(2, (1, 3, 64, 48), deviation=0.2)
    assert ripples(spoilt, truth).item() == pytest.approx(1)


def test_a_truth_without_flat_areas_or_without_grain_has_none():
    busy = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert ripples(busy, busy).isnan().all()
    assert ripples(grain(0), torch.zeros(1, 3, 64, 64)).isnan().all()
    assert ripples(grain(0)[..., :8, :8], grain(0)[..., :8, :8]).isnan().all()


def test_a_picture_in_a_batch_has_what_it_has_alone():
    truths, images = torch.cat([grain(0), grain(1)]), torch.cat([grain(2), 3 * grain(3)])
    together = ripples(images, truths)
    for k in range(2):
        assert together[k] == ripples(images[k : k + 1], truths[k : k + 1])[0]
