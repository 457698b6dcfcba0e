import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate
from scipy.special import softmax
from torch import nn

from sr3.networks.blocks import Attention, ResidualBlock, group_norm, resample, zero_init


def features(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def awake(module):
    """Give every parameter a random value, the branches that start at zero too."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


# The layers in numpy.


def weights(layer):
    return layer.weight.detach().numpy().astype(np.float64), layer.bias.detach().numpy().astype(np.float64)


def normalised(image, layer, groups):
    weight, bias = weights(layer)
    parts = np.stack(np.split(image, groups, axis=1), axis=1)
    axes = (2, 3, 4)
    parts = (parts - parts.mean(axes, keepdims=True)) / np.sqrt(parts.var(axes, keepdims=True) + 1e-5)
    return parts.reshape(image.shape) * weight[:, None, None] + bias[:, None, None]


def convolved(image, layer):
    weight, bias = weights(layer)
    edge = weight.shape[-1] // 2
    padded = np.pad(image, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    return np.stack(
        [
            [correlate(one, kernel, mode="valid")[0] + shift for kernel, shift in zip(weight, bias, strict=True)]
            for one in padded
        ]
    )


def silu(values):
    return values / (1 + np.exp(-values))


def resampled(image, resampling):
    if resampling == "up":
        return image.repeat(2, axis=-1).repeat(2, axis=-2)
    if resampling == "down":
        return (image[..., ::2, ::2] + image[..., 1::2, ::2] + image[..., ::2, 1::2] + image[..., 1::2, 1::2]) / 4
    return image


@pytest.mark.slow
@given(st.integers(1, 512).map(lambda number: 4 * number))
def test_groups_are_at_most_32_and_of_four_channels_or_more(width):
    layer = group_norm(width)
    fitting = [groups for groups in range(1, 33) if width % groups == 0 and width // groups >= 4]
    assert layer.num_channels == width
    assert layer.num_groups == max(fitting)


@pytest.mark.parametrize("resampling", ["none", "up", "down"])
def test_resampling_means_and_repeats_squares_of_four(resampling):
    image = features(2, 3, 4, 6)
    np.testing.assert_allclose(resample(image, resampling), resampled(image.numpy(), resampling), atol=1e-6)


def test_a_zeroed_module_gives_zero():
    layer = zero_init(nn.Conv2d(3, 5, 3))
    assert all(parameter.eq(0).all() for parameter in layer.parameters())


@pytest.mark.parametrize("resampling", ["none", "up", "down"])
def test_a_new_block_is_its_resampled_input_over_root_2(resampling):
    image = features(2, 8, 4, 6)
    block = ResidualBlock(8, 8, features=4, dropout=0.3, resampling=resampling)
    np.testing.assert_allclose(
        block(image, features(2, 4)).detach(), resampled(image.numpy(), resampling) / np.sqrt(2), atol=1e-6
    )


@pytest.mark.parametrize(("width_in", "width_out"), [(8, 8), (12, 8)])
@pytest.mark.parametrize("resampling", ["none", "up", "down"])
def test_a_block_is_two_convolutions_beside_a_shortcut(width_in, width_out, resampling):
    block = awake(ResidualBlock(width_in, width_out, features=5, dropout=0.5, resampling=resampling))
    image, embedding = features(2, width_in, 4, 6), features(2, 5, seed=1)
    pixels = image.double().numpy()
    hidden = silu(normalised(pixels, block.norm_in, width_in // 4))
    hidden = convolved(resampled(hidden, resampling), block.conv_in)
    weight, bias = weights(block.affine)
    affine = embedding.double().numpy() @ weight.T + bias
    scale, shift = affine[:, :width_out, None, None], affine[:, width_out:, None, None]
    hidden = silu(normalised(hidden, block.norm_out, width_out // 4) * (1 + scale) + shift)
    shortcut = resampled(pixels, resampling)
    if width_in != width_out:
        shortcut = convolved(shortcut, block.shortcut)
    expected = (shortcut + convolved(hidden, block.conv_out)) / np.sqrt(2)
    np.testing.assert_allclose(block(image, embedding).detach(), expected, atol=2e-5)


def test_dropout_stands_before_the_last_convolution_in_training_only():
    block = awake(ResidualBlock(8, 8, features=4, dropout=1.0))
    image, embedding = features(1, 8, 4, 4), features(1, 4)
    all_dropped = (image + block.conv_out.bias.detach()[:, None, None]) / np.sqrt(2)
    torch.testing.assert_close(block.train()(image, embedding).detach(), all_dropped)
    assert not torch.allclose(block.eval()(image, embedding), all_dropped, atol=1e-2)


@pytest.mark.parametrize(("width", "head_width", "heads"), [(8, 4, 2), (8, 8, 1), (8, 2, 4), (12, 8, 1), (8, 64, 1)])
def test_attention_is_a_softmax_over_all_places_in_each_head(width, head_width, heads):
    attention = awake(Attention(width, head_width=head_width))
    assert attention.heads == heads
    image = features(2, width, 3, 5)
    pixels = image.double().numpy()
    qkv = convolved(normalised(pixels, attention.norm, width // 4), attention.qkv).reshape(2, 3, width, 15)
    mixed = np.empty((2, width, 15))
    for b in range(2):
        for head in np.split(np.arange(width), heads):
            query, key, value = qkv[b][:, head]
            share = softmax(query.T @ key / np.sqrt(width // heads), axis=1)
            mixed[b, head] = (share @ value.T).T
    expected = (pixels + convolved(mixed.reshape(pixels.shape), attention.out)) / np.sqrt(2)
    np.testing.assert_allclose(attention(image).detach(), expected, atol=2e-5)


def test_new_attention_is_its_input_over_root_2():
    image = features(2, 8, 3, 5)
    torch.testing.assert_close(Attention(8, head_width=4)(image).detach(), image / 2**0.5)
