"""DDPM's blocks, as a family of the network. tests/exchange/test_conversion.py compares what they compute."""

import math

import pytest
import torch
from torch import nn

from sr3.config import Config, DDPMConfig, apply_settings
from sr3.errors import ConfigError
from sr3.networks.ddpm import OneHeadAttention, PlainLevelEmbedding, ShiftedBlock
from sr3.networks.embedding import ClassEmbedding, sinusoids
from sr3.networks.unet import UNet

SMALL = DDPMConfig(width=8, multipliers=(1, 2), blocks=1, groups=4, features=32)


def build(**changes):
    network = UNet(DDPMConfig(**dict(SMALL) | changes), image_channels=3)
    for parameter in network.parameters():
        if bool((parameter == 0).all()):
            nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


def inputs(batch=2, height=8, width=12):
    x, y_t = torch.rand(2, batch, 3, height, width) * 2 - 1
    return x, y_t, torch.tensor([0.9, 0.1][:batch], dtype=torch.float64)


@pytest.mark.slow
def test_the_unofficial_network_has_its_97_8_million_parameters():
    config = DDPMConfig(width=64, multipliers=(1, 2, 4, 8, 8), blocks=2, attention=(3,), features=256)
    with torch.device("meta"):
        network = UNet(config, image_channels=3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 97_807_491


def test_a_new_network_gives_zero():
    network = UNet(SMALL, image_channels=3).requires_grad_(False)
    assert float(network(*inputs()).abs().max()) == 0


@pytest.mark.slow
def test_sides_need_not_be_multiples_and_an_image_alone_is_the_same_as_in_a_batch():
    network = build()
    x, y_t, gamma = inputs(height=7, width=9)
    together = network(x, y_t, gamma)
    assert together.shape == y_t.shape
    torch.testing.assert_close(network(x[1:], y_t[1:], gamma[1:]), together[1:], atol=1e-5, rtol=0)


def test_the_level_is_encoded_without_a_factor():
    gamma = torch.tensor([0.25], dtype=torch.float64)
    encoded = sinusoids(gamma, 4, factor=1.0)[0]
    expected = torch.tensor([0.5, 0.5e-2]).double()
    torch.testing.assert_close(encoded.double(), torch.cat([expected.sin(), expected.cos()]), atol=1e-7, rtol=0)


def test_attention_is_softmax_of_products_over_the_root_of_the_width_and_is_added_unscaled():
    """By plain matrices: A = softmax(Q^T K / sqrt(c)), image + W_out (V A^T), with the normalised image as input."""
    torch.manual_seed(0)
    attention = OneHeadAttention(8, groups=4).double().requires_grad_(False)
    nn.init.normal_(attention.out.weight)
    image = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    query, key, value = (attention.qkv.weight[:, :, 0, 0] @ attention.norm(image).flatten(2)).chunk(3, dim=1)
    shares = torch.softmax(query.transpose(1, 2) @ key / math.sqrt(8), dim=-1)
    mixed = attention.out.weight[:, :, 0, 0] @ (value @ shares.transpose(1, 2)) + attention.out.bias[:, None]
    torch.testing.assert_close(attention(image), image + mixed.reshape(image.shape))


def test_a_block_normalises_then_bends_then_convolves_and_the_level_is_added_before_the_second_normalisation():
    torch.manual_seed(0)
    block = ShiftedBlock(4, 8, features=6, dropout=0.0, groups=2).double().requires_grad_(False)
    nn.init.normal_(block.conv_out.weight)
    image, level = torch.randn(2, 4, 5, 3, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)

    def normalised(x, norm):
        parts = x.unflatten(1, (2, -1))
        deviation = parts.var(dim=(2, 3, 4), keepdim=True, correction=0).add(norm.eps).sqrt()
        flat = ((parts - parts.mean(dim=(2, 3, 4), keepdim=True)) / deviation).flatten(1, 2)
        return flat * norm.weight[:, None, None] + norm.bias[:, None, None]

    def bent(x):
        return x * torch.sigmoid(x)

    hidden = block.conv_in(bent(normalised(image, block.norm_in)))
    hidden = hidden + (level @ block.shift.weight.T + block.shift.bias)[:, :, None, None]
    expected = block.conv_out(bent(normalised(hidden, block.norm_out))) + block.shortcut(image)
    torch.testing.assert_close(block(image, level), expected)


def test_the_level_is_embedded_by_its_root_without_a_factor_and_no_bend_at_the_end():
    torch.manual_seed(0)
    embedding = PlainLevelEmbedding(4, 6).requires_grad_(False)
    first, second = embedding.layers[0], embedding.layers[2]
    encoded = torch.tensor([math.sin(0.5), math.sin(0.005), math.cos(0.5), math.cos(0.005)])
    hidden = encoded @ first.weight.T + first.bias
    expected = (hidden * torch.sigmoid(hidden)) @ second.weight.T + second.bias
    torch.testing.assert_close(embedding(torch.tensor([0.25], dtype=torch.float64))[0], expected)


def test_class_vectors_start_at_zero():
    vectors = ClassEmbedding(3, 8).vectors
    assert vectors.shape == (4, 8)
    assert not bool(vectors.any())


@pytest.mark.slow
def test_classes_and_noise_on_the_condition_are_told():
    network = build(classes=3, condition_level=True)
    x, y_t, gamma = inputs()
    plain = network(x, y_t, gamma)
    assert not torch.allclose(network(x, y_t, gamma, levels=gamma), plain, atol=1e-3)
    network.class_embedding.vectors.normal_()
    one, other = (network(x, y_t, gamma, torch.tensor([label, label])) for label in (0, 1))
    assert not torch.allclose(one, other, atol=1e-3)


@pytest.mark.slow
def test_recomputing_activations_leaves_gradients():
    x, y_t, gamma = inputs()
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(1)
        network = build(checkpointing=checkpointing).requires_grad_(True)
        network(x, y_t, gamma).square().mean().backward()
        gradients.append(network.head.weight.grad)
    torch.testing.assert_close(*gradients)


def test_groups_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="groups 48 does not divide width 128"):
        apply_settings(Config(), ["network.family=ddpm", "network.groups=48"])
    assert apply_settings(Config(), ["network.family=ddpm", "network.attention=[1]"])
