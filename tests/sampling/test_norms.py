"""Statistics of normalisation shared by windows."""

import pytest
import torch
from torch import nn

from sr3.diffusion.denoiser import Prediction
from sr3.sampling.norms import SharedNorms, teachers
from sr3.sampling.tiling import Window, tiled, windows

GAMMA = torch.tensor([0.5], dtype=torch.float64)


@pytest.fixture
def network():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1)]
    network = nn.Sequential(*layers, nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1))
    for layer in network:
        if isinstance(layer, nn.GroupNorm):
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.requires_grad_(False)


def picture(change=0.0):
    """An image whose left is dark and flat and whose right is lively."""
    noise = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    place = torch.linspace(-1, 1, 160)
    return place + noise * (0.2 + change + (place > 0))


def predictor(network):
    return lambda z, _: Prediction(network(z), z)


def errors(network, *pictures):
    """Give the largest errors of windows by themselves and of windows that share, on the last of some images."""
    denoise = predictor(network)
    cover = windows(96, 160, tile=64, overlap=32, multiple=4)
    alone = tiled(lambda _: denoise, cover, overlap=32)
    shared = SharedNorms().joined(lambda _: denoise, cover, overlap=32, multiple=4)
    for z in pictures:
        whole, ours, theirs = (one(z, GAMMA).y0 for one in (denoise, shared, alone))
    return float((theirs - whole).abs().max()), float((ours - whole).abs().max())


@pytest.mark.slow
def test_windows_that_share_are_normalised_nearly_as_the_whole_picture(network):
    alone, shared = errors(network, picture())
    assert shared < alone / 5


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_one_window_of_everything_is_normalised_as_torch_does_each_image_by_itself(network, dtype, close):
    shared = SharedNorms().joined(lambda _: predictor(network), [Window(0, 0, 96, 160)], overlap=32, multiple=4)
    both = torch.cat([picture(), 0.3 - picture(0.5)])
    network = network.to(dtype)
    expected = network(both.to(dtype))
    assert float(expected.std()) > 0.2
    torch.testing.assert_close(shared(both.to(dtype), GAMMA).y0, expected, atol=close, rtol=0)


@pytest.mark.slow
def test_every_call_learns_anew(network):
    alone, shared = errors(network, picture(), picture(0.1), picture(0.2))
    assert shared < alone / 5


@pytest.mark.slow
def test_every_call_learns_from_some_windows_first(network):
    calls = []
    cover = windows(96, 160, tile=64, overlap=32, multiple=4)

    def counted(z, gamma):
        calls.append(1)
        return predictor(network)(z, gamma)

    shared = SharedNorms().joined(lambda _: counted, cover, overlap=32, multiple=4)
    for call in (1, 2, 3):
        shared(picture(), GAMMA)
        assert len(calls) == call * (len(cover) + min(9, len(cover)))


def test_the_windows_learned_from_are_scattered():
    for side, count in ((96, 4), (160, 9), (352, 25), (672, 100)):
        cover = windows(side, side, tile=64, overlap=32, multiple=4)
        chosen = teachers(cover, multiple=4)
        assert len(chosen) == count
        if len(cover) >= 16:
            assert len({window.left for window in chosen}) > 2
            assert len({window.top for window in chosen}) > 2


@pytest.mark.parametrize("multiple", [1, 2, 24, 64, 512])
def test_what_is_learned_from_is_the_middle_of_a_window(multiple):
    window = Window(1536, 512, 725, 300)
    [part] = teachers([window], multiple=multiple)
    assert (part.top % multiple, part.left % multiple) == (window.top % multiple, window.left % multiple)
    for start, length, first, most in ((part.top, part.height, 1536, 725), (part.left, part.width, 512, 300)):
        assert length == min(most, max(multiple, 256 // multiple * multiple))
        before, after = start - first, first + most - start - length
        assert 0 <= before <= after <= before + 2 * multiple
    assert teachers([Window(4, 8, 100, 256)], multiple=4) == [Window(4, 8, 100, 256)]


@pytest.mark.slow
def test_outside_the_windows_a_network_is_what_it_was(network):
    z = picture()
    before = network(z)
    errors(network, z)
    assert torch.equal(network(z), before)


@pytest.mark.slow
def test_windows_share_means_of_the_whole_picture():
    class Attending(nn.Module):  # as RCAN's blocks
        def __init__(self):
            super().__init__()
            self.first, self.weigh = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
            self.mean, self.last = nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 3, 3, padding=1)

        def forward(self, z):
            hidden = self.first(z)
            return self.last(hidden * self.weigh(self.mean(hidden)).sigmoid())

    alone, shared = errors(Attending().requires_grad_(False), picture())
    assert shared < alone / 5


def test_a_mean_of_parts_of_a_picture_cannot_be_shared():
    pool = predictor(nn.AdaptiveAvgPool2d(2))
    denoise = SharedNorms().joined(lambda _: pool, [Window(0, 0, 8, 8)], overlap=4, multiple=1)
    with pytest.raises(ValueError, match="only means of whole images"):
        denoise(torch.zeros(1, 3, 8, 8), GAMMA)
