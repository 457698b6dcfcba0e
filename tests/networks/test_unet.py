import pytest
import torch
from torch import nn
from torch.nn import functional

from sr3.config import BigGANConfig, DDPMConfig
from sr3.networks.blocks import Attention
from sr3.networks.unet import UNet

SMALL = BigGANConfig(width=8, multipliers=(1, 2), blocks=1, attention=(1,), head_width=4, features=8)
DDPM = DDPMConfig(width=8, multipliers=(1, 2), blocks=1, attention=(1,), features=8, groups=4)

SIZES = ("image_channels", "scale")


def build(**changes):
    """Build a small network whose zero-initialised layers are awake."""
    sizes = {"image_channels": 3, "scale": 1} | {name: changes.pop(name) for name in SIZES if name in changes}
    return awake(UNet(BigGANConfig(**{**dict(SMALL), **changes}), **sizes))


def awake(network):
    for parameter in network.parameters():
        if bool((parameter == 0).all()):
            nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


def pictures(batch=1, channels=3, height=8, width=12, count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, batch, channels, height, width, generator=generator) * 2 - 1


def levels(*values):
    return torch.tensor(values, dtype=torch.float64)


def distance(first, second):
    return (first - second).abs().max().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "multipliers", "blocks", "attention", "millions"),
    [
        (128, (1, 2, 4, 8, 8), 3, (3,), 550),
        (128, (1, 2, 4, 4, 8, 8), 3, (4,), 625),
        (64, (1, 2, 4, 8, 8, 16, 16), 3, (5,), 625),
        (16, (1, 2, 4, 8, 16, 32, 32, 32), 2, (6,), 150),
    ],
)
def test_parameters_are_those_of_table_a1(width, multipliers, blocks, attention, millions):
    shape = BigGANConfig(
        width=width,
        multipliers=multipliers,
        blocks=blocks,
        attention=attention,
        features=128,
    )
    with torch.device("meta"):
        network = UNet(shape, image_channels=3)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.04)


def test_a_new_network_gives_zero():
    x, y_t = pictures(batch=2)
    assert UNet(SMALL, image_channels=3)(x, y_t, levels(0.2, 0.9)).eq(0).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(97, 131), (1, 1), (2, 7), (8, 8)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("stem", [1, 2, 4])
def test_any_size_and_any_channels_come_back(size, channels, stem):
    network = build(image_channels=channels, stem=stem, attention=())
    x, y_t = pictures(1, channels, *size)
    result = network(x, y_t, levels(0.5))
    assert result.shape == y_t.shape
    assert bool(result.isfinite().all())


@pytest.mark.parametrize(("stem", "depth", "multiple"), [(1, 1, 1), (1, 3, 4), (2, 3, 8), (4, 2, 8)])
def test_the_multiple_is_the_stem_times_the_halvings(stem, depth, multiple):
    assert BigGANConfig(stem=stem, multipliers=(1,) * depth).size_multiple == multiple


@pytest.mark.parametrize(("size", "inside"), [((8, 12), (8, 12)), ((9, 12), (12, 12)), ((8, 13), (8, 16))])
def test_sides_are_padded_only_up_to_the_multiple(size, inside):
    network, seen = build(stem=2), []
    network.head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    network(*pictures(1, 3, *size), levels(0.5))
    assert seen == [(1, 2 * 3 * 4, inside[0] // 2, inside[1] // 2)]


@pytest.mark.slow
def test_padding_repeats_the_border_and_is_cropped():
    network = build()
    x, y_t = pictures(1, 3, 7, 9)
    padded = [functional.pad(picture, (0, 1, 0, 1), mode="replicate") for picture in (x, y_t)]
    whole = network(*padded, levels(0.5))
    assert torch.equal(network(x, y_t, levels(0.5)), whole[..., :7, :9])


@pytest.mark.slow
@pytest.mark.parametrize("stem", [1, 2])
def test_the_condition_stands_before_the_state(stem):
    network = build(stem=stem)
    network.head.weight[:, : 3 * stem**2] = 0
    x, y_t = pictures()
    result = network(x, y_t, levels(0.5))
    assert torch.equal(network(0 * x, y_t, levels(0.5)), result)
    assert distance(network(x, 0 * y_t, levels(0.5)), result) > 0.01


@pytest.mark.slow
def test_the_condition_and_the_state_are_told_apart():
    network = build()
    x, y_t = pictures()
    assert distance(network(x, y_t, levels(0.5)), network(y_t, x, levels(0.5))) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.1, 0.99])
def test_the_noise_level_changes_the_output(gamma):
    network = build()
    x, y_t = pictures()
    assert distance(network(x, y_t, levels(1.0)), network(x, y_t, levels(gamma))) > 0.01


@pytest.mark.slow
def test_an_image_alone_is_refined_as_it_is_in_a_batch():
    network = build()
    x, y_t = pictures(batch=3)
    gamma = levels(0.1, 0.5, 0.99)
    together = network(x, y_t, gamma)
    for k in range(3):
        alone = network(x[k : k + 1], y_t[k : k + 1], gamma[k : k + 1])
        torch.testing.assert_close(alone, together[k : k + 1], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_skips_are_taken_last_in_first_out():
    network = build(multipliers=(1, 1))
    x, y_t = pictures()
    gamma = levels(0.5)
    embedding = network.embedding(gamma)
    fine, halving, coarse = network.down
    coarse_1, coarse_2, doubling, fine_1, fine_2 = network.up

    head = network.head(torch.cat([x, y_t], dim=1))
    a = fine(head, embedding)
    b = halving(a, embedding)
    c = coarse(b, embedding)
    h = network.middle[1](network.middle[0](c, embedding), embedding)
    h = coarse_1(torch.cat([h, c], dim=1), embedding)
    h = coarse_2(torch.cat([h, b], dim=1), embedding)
    h = doubling(h, embedding)
    h = fine_1(torch.cat([h, a], dim=1), embedding)
    h = fine_2(torch.cat([h, head], dim=1), embedding)
    torch.testing.assert_close(network(x, y_t, gamma), network.tail(functional.silu(network.norm(h))))


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "count"), [((), 0), ((0,), 6), ((1, 2), 11)])
def test_attention_stands_in_the_blocks_of_its_levels_and_at_the_bottom(attention, count):
    network = build(multipliers=(1, 1, 1), blocks=2, attention=attention)
    places = [name for name, module in network.named_modules() if isinstance(module, Attention)]
    assert len(places) == count
    assert places.count("middle.0.attention") == bool(attention)
    if attention == (0,):
        downwards = [f"down.{k}.attention" for k in (0, 1)]
        upwards = [f"up.{k}.attention" for k in (8, 9, 10)]
        assert places == [*downwards, "middle.0.attention", *upwards]


def test_heads_have_the_width_that_is_asked():
    network = build(width=8, multipliers=(1, 2), attention=(0, 1), head_width=4)
    heads = {module.heads for module in network.modules() if isinstance(module, Attention)}
    assert heads == {2, 4}


@pytest.mark.slow
def test_dropout_reaches_the_blocks_in_training_only():
    network = build(dropout=0.5)
    x, y_t = pictures()
    assert torch.equal(network(x, y_t, levels(0.5)), network(x, y_t, levels(0.5)))
    network.train()
    assert not torch.equal(network(x, y_t, levels(0.5)), network(x, y_t, levels(0.5)))


@pytest.mark.slow
def test_the_stem_folds_blocks_of_pixels_into_channels():
    network, seen = build(stem=2), []
    network.head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x, y_t = pictures(1, 3, 8, 8)
    network(x, y_t, levels(0.5))
    folded = seen[0]
    for channel in range(3):
        for row in range(2):
            for column in range(2):
                place = 4 * channel + 2 * row + column
                assert torch.equal(folded[:, place], x[:, channel, row::2, column::2])
                assert torch.equal(folded[:, 12 + place], y_t[:, channel, row::2, column::2])


@pytest.mark.slow
def test_the_stem_is_undone_at_the_end():
    network, tails = build(stem=2), []
    network.tail.register_forward_hook(lambda _, __, output: tails.append(output))
    x, y_t = pictures(1, 3, 8, 8)
    result = network(x, y_t, levels(0.5))
    for channel in range(3):
        for row in range(2):
            for column in range(2):
                place = 4 * channel + 2 * row + column
                assert torch.equal(result[:, channel, row::2, column::2], tails[0][:, place])


@pytest.mark.slow
def test_checkpointing_gives_the_same_gradients():
    x, y_t = pictures(batch=2)
    outputs, gradients, runs = [], [], []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        network = build(checkpointing=checkpointing, dropout=0.3).requires_grad_().train()
        network.down[0].register_forward_pre_hook(lambda *_: runs.append(1))
        torch.manual_seed(4)
        output = network(x, y_t, levels(0.2, 0.9))
        output.square().sum().backward()
        outputs.append(output.detach())
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert len(runs) == 1 + 2  # with checkpointing the block runs again on the way back
    torch.testing.assert_close(outputs[0], outputs[1])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.slow
def test_every_parameter_is_trained():
    network = build().requires_grad_()
    network(*pictures(), levels(0.5)).square().sum().backward()
    still = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert still == []


def test_a_generator_sees_only_the_noisy_picture():
    network = build(condition="none")
    _, y_t = pictures()
    assert network.head.in_channels == 3
    assert network(y_t[:, :0], y_t, levels(0.5)).shape == y_t.shape


@pytest.mark.slow
def test_classes_change_the_answer_and_no_class_is_one_more():
    network = build(classes=4)
    x, y_t = pictures()
    answers = [network(x, y_t, levels(0.5), torch.tensor([label])) for label in range(5)]
    for first in range(5):
        for second in range(first):
            assert distance(answers[first], answers[second]) > 1e-4
    assert torch.equal(network(x, y_t, levels(0.5)), answers[4])


@pytest.mark.slow
def test_the_level_of_the_condition_is_told_and_clean_unless_given():
    network = build(condition_level=True)
    x, y_t = pictures()
    clean = network(x, y_t, levels(0.5), levels(), levels(1.0))
    assert torch.equal(network(x, y_t, levels(0.5)), clean)
    assert distance(network(x, y_t, levels(0.5), levels(), levels(0.8)), clean) > 1e-4


@pytest.mark.slow
def test_a_network_without_classes_and_levels_has_nothing_for_them():
    plain, told = build(), build(classes=3, condition_level=True)
    more = set(dict(told.named_parameters())) - set(dict(plain.named_parameters()))
    assert {name.split(".")[0] for name in more} == {"class_embedding", "condition_embedding"}


def guided(**changes):
    return build(multipliers=(1, 2, 2), guide=5, scale=4, **changes)


@pytest.mark.slow
def test_without_weights_a_guide_changes_no_bit():
    plain, network = build(multipliers=(1, 2, 2)), guided()
    network.load_state_dict(plain.state_dict(), strict=False)
    nn.init.zeros_(network.guide.weight)
    nn.init.zeros_(network.guide.bias)
    x, y = pictures()
    features = torch.randn(1, 5, 2, 3)
    expected = plain(x, y, levels(0.5))
    assert torch.equal(network(x, y, levels(0.5), features=features), expected)


@pytest.mark.slow
@pytest.mark.parametrize("stem", [1, 2, 4])
def test_a_feature_is_felt_around_its_place(stem):
    """It enters at its own resolution, so the result changes most there."""
    network = build(multipliers=(1, 2, 2), attention=(), stem=stem, guide=5, scale=4)
    x, y = pictures(height=32, width=48)
    features = torch.zeros(1, 5, 8, 12)
    before = network(x, y, levels(0.5), features=features)
    features[0, :, 3, 8] = 1.0
    change = (network(x, y, levels(0.5), features=features) - before).abs().sum(dim=1)[0]
    by_cell = change.reshape(8, 4, 12, 4).sum(dim=(1, 3))
    row, column = divmod(int(by_cell.argmax()), 12)
    assert max(abs(row - 3), abs(column - 8)) <= 2


@pytest.mark.slow
def test_sides_that_do_not_fit_the_network_repeat_the_border_of_a_guide_too():
    network = build(multipliers=(1, 2, 2), attention=(), stem=2, guide=5, scale=4)
    x, y = pictures(height=12, width=20)
    features = torch.randn(1, 5, 3, 5, generator=torch.Generator().manual_seed(0))
    larger = [functional.pad(image, (0, 4, 0, 4), mode="replicate") for image in (x, y)]
    around = functional.pad(features, (0, 1, 0, 1), mode="replicate")
    expected = network(*larger, levels(0.5), features=around)[..., :12, :20]
    assert distance(network(x, y, levels(0.5), features=features), expected) < 1e-6


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("family", ["biggan", "ddpm"])
def test_writing_over_what_no_gradient_needs_keeps_every_bit(family, half):
    """Without gradients layers write over their inputs; the answer is that of a call whose gradients are kept."""
    network = build() if family == "biggan" else awake(UNet(DDPM, image_channels=3, scale=1))
    x, y = pictures()
    before = x.clone(), y.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        kept = network(x, y, levels(0.3))
        with torch.no_grad():
            assert torch.equal(network(x, y, levels(0.3)), kept)
    assert kept.abs().max() > 0.1
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])
