"""The network that measures how strongly an input needs cleaning."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sr3.networks.strength import StrengthNetwork
from sr3.sampling.mean_tiles import DOUBT, MOST_MEASURED, measured_strength


def inputs(*sides):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(sides, generator=generator) * 2 - 1
    return image, 0.05 * torch.randn(sides, generator=generator)


def network(*, channels=3, bias=0.0):
    torch.manual_seed(0)
    found = StrengthNetwork(8, image_channels=channels).eval().requires_grad_(False)
    found.last.bias.fill_(bias)
    found.last.weight *= 0.3
    return found


def test_folded_it_measures_the_same():
    image, change = inputs(4, 3, 24, 20)
    learning = StrengthNetwork(8, image_channels=3, learning=True)
    for number in range(20):
        learning(image + 0.01 * number, change * number)
    folded = learning.folded().requires_grad_(False)
    assert not any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in folded.modules())
    assert folded.state_dict().keys() == network().state_dict().keys()
    assert_close(folded(image, change), learning(image, change), rtol=0, atol=1e-5)
    assert float(folded(image, change).std()) > 1e-4, "the comparison could fail"


def test_it_sees_fine_structure_only():
    image, change = inputs(2, 3, 24, 20)
    found = network()
    assert_close(found(image * 0.5 + 0.3, change), found(image * 0.5 - 0.1, change), rtol=0, atol=1e-5)
    assert not torch.allclose(found(image * 0.5, change), found(image * 0.4, change), atol=1e-4)
    assert not torch.allclose(found(image, change), found(image, 2 * change), atol=1e-4)


def test_a_large_image_is_measured_by_the_mean_of_its_windows():
    image, change = inputs(1, 1, 160, 130)
    found = network(channels=1, bias=0.5)
    parts = [(slice(0, 128), slice(0, 128)), (slice(0, 128), slice(128, None)),
             (slice(128, None), slice(0, 128)), (slice(128, None), slice(128, None))]  # fmt: skip
    areas = torch.tensor([128 * 128, 128 * 2, 32 * 128, 32 * 2]) / (160 * 130)
    traces = torch.cat([found.traces(image[..., r, c], change[..., r, c]) for r, c in parts])
    expected = found.strength((traces * areas[:, None]).sum(0, keepdim=True))
    assert 0.1 < float(expected) < 1.4
    assert_close(measured_strength(found, image, image + change), expected, rtol=0, atol=1e-5)


def test_each_image_of_a_batch_is_measured_alone_and_within_bounds():
    image, change = inputs(3, 3, 60, 70)
    change *= torch.tensor([0.5, 1.0, 2.0])[:, None, None, None]
    found = network(bias=0.7)
    together = measured_strength(found, image, image + change)
    alone = [measured_strength(found, image[k : k + 1], image[k : k + 1] + change[k : k + 1]) for k in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert len(set(together.tolist())) == 3
    for bias, bound in ((-10.0, 0.0), (10.0, MOST_MEASURED)):
        assert measured_strength(network(bias=bias), image, image + change).tolist() == [bound] * 3


def test_a_small_image_says_less():
    image, change = inputs(1, 3, 32, 32)
    found = network(bias=-10.0)
    assert float(measured_strength(found, image, image + change)) == pytest.approx(0.75)
    assert float(measured_strength(found, image, image + change, stated=0.4)) == pytest.approx(0.4)
    most = network(bias=10.0)
    expected = 0.4 + 0.25 * (MOST_MEASURED - 0.4) - DOUBT
    assert float(measured_strength(most, image, image + change, stated=0.4)) == pytest.approx(max(0.4, expected))
    assert float(measured_strength(most, image, image + change)) == pytest.approx(1 + 0.25 * (MOST_MEASURED - 1))
