"""The networks that the paper compares itself with: their sizes as published, what they compute, and what they see."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sr3.config import DRCNConfig, ENetConfig, FSRCNNConfig, RCANConfig
from sr3.networks.drcn import DRCN
from sr3.networks.enet import ENet
from sr3.networks.fsrcnn import FSRCNN
from sr3.networks.one_call import prime_factors
from sr3.networks.rcan import RCAN

GAMMA = torch.zeros(2, dtype=torch.float64)
OF_LOW_RES = [FSRCNN, RCAN, ENet]


SMALL = {
    FSRCNN: {"width": 8, "inner": 4, "layers": 2},
    DRCN: {"width": 8, "recursions": 2},
    RCAN: {"width": 8, "blocks": 2, "groups": 2, "attention_width": 4},
    ENet: {"width": 8, "blocks": 2},
}
CONFIGS = {FSRCNN: FSRCNNConfig, DRCN: DRCNConfig, RCAN: RCANConfig, ENet: ENetConfig}


def made(kind, sizes):
    shape = {name: sizes.pop(name, default) for name, default in (("image_channels", 3), ("scale", 4))}
    return kind(CONFIGS[kind](**sizes), **shape)


def build(kind, **changes):
    network = made(kind, SMALL[kind] | changes)
    for parameter in network.parameters():
        if bool((parameter == 0).all()):
            nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


def pictures(channels=3, scale=4):
    generator = torch.Generator().manual_seed(1)
    low_res = torch.rand(2, channels, 5, 7, generator=generator) * 2 - 1
    x = torch.rand(2, channels, 5 * scale, 7 * scale, generator=generator) * 2 - 1
    return x, low_res


def count(kind, **sizes):
    with torch.device("meta"):
        network = made(kind, sizes)
    return network


@pytest.mark.slow
def test_fsrcnn_has_the_weights_of_its_paper():
    network = count(FSRCNN, image_channels=1, width=56, inner=12, layers=4)
    assert sum(part.weight.numel() for part in network.modules() if isinstance(part, nn.Conv2d)) == 12_464 - 9 * 9 * 56
    assert network.tail.weight.numel() == 9 * 9 * 56


@pytest.mark.slow
def test_drcn_has_the_parameters_that_are_published_for_it():
    network = count(DRCN, image_channels=1, width=256, recursions=16)
    assert sum(parameter.numel() for parameter in network.parameters()) // 1000 == 1_775


@pytest.mark.slow
def test_rcan_has_the_parameters_that_are_published_for_it():
    network = count(RCAN, width=64, blocks=20, groups=10, attention_width=4)
    assert sum(parameter.numel() for parameter in network.parameters()) == 15_592_355


@pytest.mark.parametrize("kind", OF_LOW_RES)
@pytest.mark.parametrize(("channels", "scale"), [(3, 4), (1, 2), (4, 3), (3, 8)])
def test_the_small_picture_is_enlarged_by_the_scale(kind, channels, scale):
    network = build(kind, image_channels=channels, scale=scale)
    x, low_res = pictures(channels, scale)
    answer = network(x, torch.zeros_like(x), GAMMA, low_res)
    assert answer.shape == x.shape
    alone = network(x[1:], torch.zeros_like(x[1:]), GAMMA[1:], low_res[1:])
    torch.testing.assert_close(alone, answer[1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", OF_LOW_RES)
def test_only_the_small_picture_has_a_say(kind):
    network, (x, low_res) = build(kind), pictures()
    answer = network(x, torch.zeros_like(x), GAMMA, low_res)
    assert torch.equal(network(-x, torch.ones_like(x), GAMMA + 0.5, low_res), answer)
    assert not torch.allclose(network(x, torch.zeros_like(x), GAMMA, -low_res), answer, atol=1e-4)


def test_fsrcnn_is_its_layers_in_turn_with_rectifiers_between():
    network, (x, low_res) = build(FSRCNN), pictures()
    hidden = low_res
    for conv, slopes in zip(network.layers[::2], network.layers[1::2], strict=True):
        hidden = functional.conv2d(hidden, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)
        slope = slopes.weight[:, None, None]
        hidden = torch.where(hidden > 0, hidden, slope * hidden)
    expected = functional.conv_transpose2d(
        hidden, network.tail.weight, network.tail.bias, stride=4, padding=4, output_padding=3
    )
    torch.testing.assert_close(network(x, x, GAMMA, low_res), expected)
    sides = [conv.kernel_size[0] for conv in network.layers[::2]]
    assert sides == [5, 1, 3, 3, 1]


def test_drcn_applies_one_layer_again_and_sums_the_answers_by_their_shares():
    network, (x, _) = build(DRCN, recursions=3), pictures()
    network.shares.copy_(torch.tensor([0.2, -0.1, 0.7]))

    def layer(picture, conv):
        return functional.conv2d(picture, conv.weight, conv.bias, padding=1)

    hidden = layer(layer(x, network.embed[0]).relu(), network.embed[1]).relu()
    answers = []
    for _ in range(3):
        hidden = layer(hidden, network.again).relu()
        answers.append(x + layer(layer(hidden, network.rebuild[0]).relu(), network.rebuild[1]))
    expected = 0.2 * answers[0] - 0.1 * answers[1] + 0.7 * answers[2]
    torch.testing.assert_close(network(x, x, GAMMA), expected)
    torch.testing.assert_close(network(x, x, GAMMA, every=True), torch.stack([expected, *answers]))


def test_a_new_recursion_passes_features_on():
    network = made(DRCN, {"width": 8, "recursions": 2})
    features = torch.rand(1, 8, 5, 5)
    torch.testing.assert_close(network.again(features), features)
    assert network.shares.tolist() == [0.5, 0.5]


def test_the_channels_of_rcan_are_weighed_by_what_their_means_say():
    block = build(RCAN).body[0].blocks[0]
    features = torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(0))
    hidden = block.second(block.first(features).relu())
    means = hidden.mean(dim=(2, 3)).double().numpy()
    down, up = (layer.weight[..., 0, 0].double().numpy() for layer in (block.squeeze, block.spread))
    inner = np.maximum(means @ down.T + block.squeeze.bias.double().numpy(), 0)
    weights = 1 / (1 + np.exp(-(inner @ up.T + block.spread.bias.double().numpy())))
    expected = features.numpy() + hidden.numpy() * weights[..., None, None]
    np.testing.assert_allclose(block(features), expected, atol=1e-5)


def test_rcan_is_residual_in_residual():
    network, (x, low_res) = build(RCAN), pictures()
    shallow = network.head(low_res)
    deep = shallow
    for group in network.body:
        inside = group.blocks[1](group.blocks[0](deep))
        deep = deep + group.end(inside)
    deep = shallow + network.body_end(deep)
    first, _, second, _ = network.enlarge
    wide = functional.pixel_shuffle(second(functional.pixel_shuffle(first(deep), 2)), 2)
    torch.testing.assert_close(network(x, x, GAMMA, low_res), network.tail(wide))


def test_enet_enlarges_by_repetition_before_a_convolution():
    network, (x, low_res) = build(ENet), pictures()
    hidden = network.head(low_res).relu()
    for block in network.blocks:
        hidden = hidden + block.second(block.first(hidden).relu())
    for layer in network.enlarge:
        hidden = layer(hidden.repeat_interleave(2, -1).repeat_interleave(2, -2)).relu()
    torch.testing.assert_close(network(x, x, GAMMA, low_res), network.tail(network.last(hidden).relu()))


def test_a_new_enet_adds_nothing_to_the_enlarged_input():
    x, low_res = pictures()
    assert made(ENet, {"width": 8, "blocks": 1})(x, x, GAMMA, low_res).eq(0).all()


@pytest.mark.parametrize(("scale", "steps"), [(1, []), (2, [2]), (8, [2, 2, 2]), (12, [2, 2, 3]), (7, [7])])
def test_a_scale_is_reached_in_prime_steps(scale, steps):
    assert prime_factors(scale) == steps
