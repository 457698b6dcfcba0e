"""EnhanceNet's losses beside formulas in numpy, and the discriminator that learns beside the model."""

import warnings
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

from pictures import Pictures, smooth
from sr3.build_objective import build_objective
from sr3.config import apply_settings
from sr3.errors import CheckpointError, ConfigError
from sr3.metrics.maps import load_maps
from sr3.networks.discriminator import DiscriminatorNet
from sr3.objectives.adversary import (
    EnhanceNetDiscriminator,
    discriminator_loss,
    gram_matrices,
    perceptual_loss,
    texture_loss,
)
from sr3.presets import preset
from sr3.sampling.upscaler import open_upscaler
from sr3.training.events import Stepped
from sr3.training.loop import train
from sr3.training.run_dir import open_run
from sr3.training.state import Written, last_whole, read_tensors, write_state

SOURCE = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def discriminator(max_accuracy=1.0):
    critic = DiscriminatorNet(3, side=16, width=4, downsamplings=2)
    return EnhanceNetDiscriminator(critic, torch.optim.Adam(critic.parameters(), lr=1e-2), max_accuracy)


def traced(network, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(network, torch.rand(1, 3, 16, 16), strict=False).save(str(path))
    return path


@pytest.fixture(scope="module")
def maps_file(tmp_path_factory):
    """A feature network of two maps, as TorchScript."""

    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine, self.coarse = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1)

        def forward(self, image):
            fine = torch.relu(self.fine(image))
            return [fine, torch.relu(self.coarse(fine))]

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("maps") / "maps.pt"
    return traced(Maps(), path)


def tiny(maps, *settings):
    size = ["network.width=8", "network.blocks=1", "data.crop=32", "training.batch=2", "objective.adversary.width=4"]
    length = ["training.steps=6", "training.validation_images=2", "optimizer.warmup=2", "optimizer.cooldown=0"]
    weights = [
        f"objective.adversary.features={maps}",
        "objective.adversary.adversarial=0.1",
        "objective.adversary.downsamplings=3",
    ]
    return apply_settings(preset("enet-pat-x4-small"), [*size, *length, *weights, *settings])


def run_to_end(path, config):
    return [event for event in train(config, SOURCE, open_run(path, config), device=CPU) if isinstance(event, Stepped)]


def test_the_critic_of_the_paper_ends_in_8192_features():
    with torch.device("meta"):
        critic = DiscriminatorNet(3, side=128, width=32, downsamplings=5)
    convolutions = [part for part in critic.layers if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [32, 32, 64, 64, 128, 128, 256, 256, 512, 512]
    assert [part.stride[0] for part in convolutions] == [1, 2] * 5
    assert (critic.head[0].in_features, critic.head[0].out_features) == (8192, 1024)


@pytest.mark.slow
def test_losses_of_the_two_sides_are_those_of_probabilities():
    real, fake = draw(5), draw(5, seed=1)
    sure, fooled = (1 / (1 + np.exp(-logits.double().numpy())) for logits in (real, fake))
    np.testing.assert_allclose(discriminator_loss(real, fake), -np.log(sure) - np.log(1 - fooled), rtol=1e-5)
    one, pictures = discriminator(), draw(3, 3, 16, 16)
    with torch.no_grad():
        logits = one.network(pictures).double().numpy()
    np.testing.assert_allclose(one.generator_loss(pictures), -np.log(1 / (1 + np.exp(-logits))), rtol=1e-5)


def test_gram_matrices_are_of_patches_one_by_one():
    features = draw(2, 3, 9, 12)
    grams = gram_matrices(features, share=1 / 3).double().numpy()
    values = features.double().numpy()
    expected = []
    for top in (0, 4):
        for left in (0, 4, 8):
            patch = values[:, :, top : top + 4, left : left + 4]
            expected.append(np.einsum("bchw,bdhw->bcd", patch, patch) / 16)
    np.testing.assert_allclose(grams, np.stack(expected, axis=1), rtol=1e-5)


def test_features_and_textures_are_compared_after_the_truths_mean():
    found, wanted = [draw(2, 3, 8, 8), draw(2, 5, 4, 4, seed=1)], [draw(2, 3, 8, 8, seed=2), draw(2, 5, 4, 4, seed=3)]
    features, textures = [], []
    for one, other in zip(found, wanted, strict=True):
        mean = np.abs(other.double().numpy()).mean(axis=(1, 2, 3), keepdims=True)
        a, b = one.double().numpy() / mean, other.double().numpy() / mean
        features.append(((a - b) ** 2).mean(axis=(1, 2, 3)))
        gram_a, gram_b = (gram_matrices(torch.from_numpy(x), share=0.5).numpy() for x in (a, b))
        textures.append(((gram_a - gram_b) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(perceptual_loss(found, wanted), np.mean(features, axis=0), rtol=1e-4)
    np.testing.assert_allclose(texture_loss(found, wanted, share=0.5), np.mean(textures, axis=0), rtol=1e-4)
    moved = [one.roll(4, dims=-1) for one in wanted[:1]]
    assert float(texture_loss(moved, wanted[:1], share=1.0).max()) < 1e-9  # where a texture lies does not count
    assert float(perceptual_loss(moved, wanted[:1]).min()) > 0.1


@pytest.mark.slow
def test_the_generator_loss_leaves_the_discriminator_and_the_discriminator_loss_the_generator():
    one = discriminator()
    answer = draw(2, 3, 16, 16).requires_grad_(True)
    one.generator_loss(answer).sum().backward()
    assert float(answer.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in one.network.parameters())
    answer.grad = None
    one.accumulate(answer, draw(2, 3, 16, 16, seed=1), parts=1)
    assert answer.grad is None
    assert all(parameter.grad is not None for parameter in one.network.parameters())


@pytest.mark.slow
def test_the_critic_learns_to_tell():
    one, truth, answer = discriminator(), draw(8, 3, 16, 16).abs(), draw(8, 3, 16, 16, seed=1)
    before = told(one, truth, answer)
    for _ in range(30):
        one.accumulate(answer, truth, parts=1)
        one.step(1e-2, clip=1.0)
    assert told(one, truth, answer) < 0.2 * before


@torch.no_grad()
def told(one, truth, answer):
    return float(discriminator_loss(one.network(truth), one.network(answer)).mean())


@pytest.mark.slow
def test_gradients_of_parts_make_that_of_the_whole():
    truth, answer = draw(4, 3, 16, 16), draw(4, 3, 16, 16, seed=1)
    whole, parts = discriminator(), discriminator()
    parts.network.load_state_dict(whole.network.state_dict())
    whole.accumulate(answer, truth, parts=1)
    for half in (slice(0, 2), slice(2, 4)):
        parts.accumulate(answer[half], truth[half], parts=2)
    for one, other in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_a_critic_that_is_right_too_often_waits():
    one, truth, answer = discriminator(max_accuracy=0.9), draw(8, 3, 16, 16).abs(), draw(8, 3, 16, 16, seed=1)
    for _ in range(60):
        one.accumulate(answer, truth, parts=1)
        one.step(1e-2, clip=1.0)
    kept = {name: weight.clone() for name, weight in one.network.state_dict().items()}
    one.accumulate(answer, truth, parts=1)
    one.step(1e-2, clip=1.0)
    assert all(torch.equal(kept[name], weight) for name, weight in one.network.state_dict().items())


@pytest.mark.training
@pytest.mark.parametrize("settings", [[], ["training.accumulate=2"], ["objective.adversary.max_accuracy=0.75"]])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does_with_its_discriminator(tmp_path, maps_file, settings):
    config = tiny(maps_file, *settings)
    run_to_end(tmp_path / "whole", config)
    with closing(train(config, SOURCE, open_run(tmp_path / "parts", config), device=CPU)) as events:
        for event in events:
            if isinstance(event, Stepped) and event.step == 3:
                break
    run_to_end(tmp_path / "parts", config)
    paths = [last_whole(tmp_path / run / "checkpoints") for run in ("whole", "parts")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    tensors, description = read_tensors(paths[0])
    learnt = {name for name in tensors if name.startswith("discriminator.")}
    assert learnt
    assert {f"exp_avg.{name}" for name in learnt} <= set(tensors)
    assert description["discriminator_updates"] == 6 or settings == ["objective.adversary.max_accuracy=0.75"]
    assert not any("discriminator" in name for name in open_upscaler(str(tmp_path / "whole")).denoiser.state_dict())


@pytest.mark.training
def test_a_checkpoint_with_the_names_of_the_first_version_resumes_alike(tmp_path, maps_file):
    config = tiny(maps_file)
    for run in ("new", "old"):
        with closing(train(config, SOURCE, open_run(tmp_path / run, config), device=CPU)) as events:
            for event in events:
                if isinstance(event, Stepped) and event.step == 3:
                    break
    folder = tmp_path / "old" / "checkpoints"
    tensors, description = read_tensors(last_whole(folder))
    tensors = {name.replace("discriminator.", "critic."): tensor for name, tensor in tensors.items()}
    assert any(name.startswith("exp_avg.critic.") for name in tensors)
    description = {**description, "format": 1, "opponent_updates": description.pop("discriminator_updates")}
    write_state(folder, Written(tensors, description), keep=1)
    for run in ("new", "old"):
        run_to_end(tmp_path / run, config)
    paths = [last_whole(tmp_path / run / "checkpoints") for run in ("new", "old")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.training
def test_every_loss_moves_the_model(tmp_path, maps_file):
    def weights(name, *settings):
        run_to_end(tmp_path / name, tiny(maps_file, "training.steps=2", *settings))
        return read_tensors(last_whole(tmp_path / name / "checkpoints"))[0]["network.tail.weight"]

    whole = weights("all")
    for name in ("pixel", "adversarial", "perceptual", "texture"):
        assert not torch.equal(weights(name, f"objective.adversary.{name}=0"), whole)


@pytest.mark.slow
def test_features_need_colour_and_maps(tmp_path, maps_file):
    with pytest.raises(ConfigError, match="needs RGB images, but these have 1 channels"):
        build_objective(tiny(maps_file), image_channels=1, device=CPU)
    with pytest.raises(CheckpointError, match="no such feature network"):
        load_maps(str(tmp_path / "none.pt"), CPU)
    flat = traced(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), tmp_path / "flat.pt")
    with pytest.raises(CheckpointError, match="gives no maps of shape"):
        load_maps(str(flat), CPU)(draw(1, 3, 8, 8))
    with pytest.raises(CheckpointError, match="cannot compute features"):
        load_maps(str(maps_file), CPU)(draw(1, 1, 8, 8))
