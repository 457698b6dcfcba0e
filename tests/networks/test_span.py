"""SPAN beside the paper's equations in scipy, and its mean in windows."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from sr3.config import SPANConfig
from sr3.networks.span import SPAN
from sr3.sampling import mean_tiles as windows_of_mean
from sr3.sampling.mean_tiles import MOST_KEPT, WholeMean, mean_in
from sr3.sampling.tiling import Window

SMALL = SPANConfig(width=8, blocks=2)


def network(config=SMALL, scale=2, seed=0):
    torch.manual_seed(seed)
    return SPAN(config, image_channels=3, scale=scale).eval().requires_grad_(False)


def picture(height, width, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def convolved(image, conv):
    """Correlate (c, h, w) with a layer's kernels, zeros around, plus its offset."""
    kernels, offsets = conv.weight.double().numpy(), conv.bias.double().numpy()
    sums = [sum(correlate2d(c, k, mode="same") for c, k in zip(image, kernel, strict=True)) for kernel in kernels]
    return np.stack(sums) + offsets[:, None, None]


def silu(x):
    return x / (1 + np.exp(-x))


def span_by_hand(net, low_res):
    """Section 3.1 and figure 2 of the paper, on one image."""
    colour = np.array([0.4488, 0.4371, 0.4040])[:, None, None]
    start = hidden = convolved(((low_res.double().numpy()[0] + 1) / 2 - colour) * 255, net.head)
    kept = []
    for block in net.blocks:
        first = silu(convolved(hidden, block.convs[0]))
        last = convolved(silu(convolved(first, block.convs[1])), block.convs[2])
        hidden = (hidden + last) * (1 / (1 + np.exp(-last)) - 0.5)
        kept.append((hidden, first))
    joined = np.concatenate([start, convolved(hidden, net.after), kept[0][0], kept[-1][1]])
    features = convolved(joined, net.join)
    out = convolved(features, net.tail).reshape(3, 2, 2, *features.shape[1:])
    return features, out.transpose(0, 3, 1, 4, 2).reshape(3, 2 * features.shape[1], -1) * 2 - 1


def test_span_is_the_papers_equations():
    net, low_res = network(), picture(7, 9)
    features, expected = span_by_hand(net, low_res)
    unseen = torch.full((1, 3, 14, 18), torch.nan)
    answer = net(unseen, unseen, torch.ones(1, dtype=torch.float64), low_res)
    np.testing.assert_allclose(answer[0], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    found = net.mean(low_res)
    np.testing.assert_allclose(found.features[0], features, rtol=1e-3, atol=1e-3 * np.abs(features).max())
    assert torch.equal(found.picture, answer.clamp(-1, 1))


def test_the_published_size_has_426_288_parameters():
    net = SPAN(SPANConfig(), image_channels=3, scale=4)
    assert sum(p.numel() for p in net.parameters()) == 426_288


@pytest.mark.parametrize("blocks", [1, 6, 9])
def test_a_pixel_depends_on_the_input_as_far_as_the_reach_and_no_further(blocks):
    net = network(SPANConfig(width=8, blocks=blocks), scale=1)
    reach = net.reach
    low_res = picture(2 * reach + 7, 3).double().requires_grad_(True)
    net.double()(low_res, low_res, torch.ones(1, dtype=torch.float64), low_res)[0, :, reach + 3].sum().backward()
    touched = low_res.grad[0].abs().amax(dim=(0, 2)).nonzero()[:, 0]
    assert (int(touched.min()), int(touched.max())) == (3, 2 * reach + 3)


@pytest.mark.parametrize("size", [(70, 30), (33, 64), (50, 50)])
def test_the_mean_in_windows_is_that_of_the_whole(size, monkeypatch):
    monkeypatch.setattr(windows_of_mean, "_SIDE", 32)
    net, low_res = network(), picture(*size)
    whole = net.mean(low_res)
    window = Window(5, 3, size[0] - 9, 20)
    large = Window(*(2 * place for place in window))
    for at_once, kept in ((1000, MOST_KEPT), (32, MOST_KEPT), (32, 0)):  # whole; in windows; features not kept
        monkeypatch.setattr(windows_of_mean, "MOST_KEPT", kept)
        mean = WholeMean(net, low_res, at_once=at_once)
        torch.testing.assert_close(mean.picture, whole.picture.detach(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mean.features(large), window.of(whole.features).detach(), rtol=1e-4, atol=1e-4)
    found = mean_in(net, low_res, window)
    torch.testing.assert_close(found.picture, large.of(whole.picture), rtol=1e-4, atol=1e-4)
