"""A model that refines a mean: what it starts with, that it travels in the file, in tiles as in whole."""

from dataclasses import replace

import pytest
import torch
from scipy.ndimage import uniform_filter

from pictures import write_refining_model
from sr3.config import apply_settings
from sr3.diffusion.noise import NoiseSource, mix_seed
from sr3.errors import CheckpointError, ConfigError
from sr3.images.resize import upsample
from sr3.presets import preset
from sr3.sampling.mean_tiles import calm_flat_places, mean_in
from sr3.sampling.tiling import Window
from sr3.sampling.upscaler import open_upscaler

pytestmark = pytest.mark.slow

DIGEST = "0" * 64


def opened(tmp_path, *settings):
    """A refining model in float32, so that it can be compared with formulas on any processor."""
    return open_upscaler(str(write_refining_model(tmp_path / "a.safetensors", *START, *settings)), dtype="float32")


def low_res(height=8, width=10, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


START = ("sampling.start=mean", "sampling.gamma_first=0.5", "sampling.steps=1", "sampling.correct=false")


@pytest.mark.parametrize("shown", ["mean", "enlarged"])
def test_one_call_from_the_mean_is_the_formula(tmp_path, shown):
    """z = sqrt(gamma) encode(mean) + sqrt(1 - gamma) noise, and the answer its y0."""
    upscaler = opened(tmp_path, f"mean.condition={shown}")
    small = low_res()
    mean = upscaler.denoiser.mean.mean(small)
    x = mean.picture if shown == "mean" else upsample(small, 4)
    noise = NoiseSource([mix_seed(7)]).like(x)
    gamma = torch.tensor([0.5], dtype=torch.float64)
    z = 0.5**0.5 * (mean.picture - x) * 4 + 0.5**0.5 * noise
    v = upscaler.denoiser.network(x, z, gamma, features=mean.features)
    y0 = 0.5**0.5 * z - 0.5**0.5 * v
    expected = (y0 / 4 + x).clamp(-1, 1)
    found = upscaler.upscale(small, sampling=upscaler.info.config.sampling, seeds=[mix_seed(7)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_mirrored_noise_of_detail_starts_at_the_mean_too(tmp_path):
    """At detail 0 the answer is that to the noise and its mirror, averaged, but for the share that stays."""
    upscaler = opened(tmp_path)
    small, sampling = low_res(), upscaler.info.config.sampling
    mean = upscaler.denoiser.mean.mean(small)
    noise, gamma = NoiseSource([3]).like(mean.picture), torch.tensor([0.5], dtype=torch.float64)

    def answer(sign):
        z = sign * 0.5**0.5 * noise
        return upscaler.denoiser.bind(mean.picture, clip=sampling.clip, conditioning=mean_features_of(mean))(
            z, gamma
        ).y0

    middle = (answer(1) + answer(-1)) / 2
    state = middle.lerp(answer(1), 0.125)
    expected = (state / 4 + mean.picture).clamp(-1, 1)
    found = upscaler.upscale(small, sampling=sampling.model_copy(update={"detail": 0.0}), seeds=[3])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def mean_features_of(mean):
    from sr3.diffusion.denoiser import MeanFeatures

    return MeanFeatures(mean.features)


def test_tiles_see_the_features_of_their_place(tmp_path):
    path = write_refining_model(tmp_path / "a.safetensors", "sampling.steps=2", "sampling.correct=false")
    upscaler, small = open_upscaler(str(path)), low_res(48, 60)
    sampling = upscaler.info.config.sampling
    whole = upscaler.upscale(small, sampling=sampling, seeds=[0])
    tiled = replace(upscaler, tile=128).upscale(small, sampling=sampling, seeds=[0])
    shuffled = low_res(48, 60, seed=1)
    other = upscaler.upscale(shuffled, sampling=sampling, seeds=[0])
    assert (tiled - whole).abs().mean() < 0.1 * (other - whole).abs().mean()


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_an_image_alone_is_the_same_in_a_batch(tmp_path, dtype):
    """Bit for bit, in whatever type the machine computes, with the correction too."""
    model = write_refining_model(
        tmp_path / "a.safetensors", *START, "sampling.correct=true", "sampling.flat_detail=0.3"
    )
    upscaler = open_upscaler(str(model), dtype=dtype)
    both, sampling = torch.cat([low_res(), low_res(seed=1)]), upscaler.info.config.sampling
    together = upscaler.upscale(both, sampling=sampling, seeds=[4, 5])
    for k in range(2):
        alone = upscaler.upscale(both[k : k + 1], sampling=sampling, seeds=[4 + k])
        assert torch.equal(together[k : k + 1], alone)


def test_a_file_without_the_weights_of_its_mean_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="weights do not fit"):
        open_upscaler(str(write_refining_model(tmp_path / "a.safetensors", mean=False)))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["network.guide=8"], "the model has none"),
        (["sampling.start=mean"], "the model has no mean predictor"),
        (["sampling.gamma_first=0.5"], "pure noise would be treated"),
        (
            ['mean={name="a", digest="' + DIGEST + '", network={family="rcan"}}', "data.crop=96"],
            "input should be 'span'",
        ),
        (['mean={name="a", digest="' + DIGEST + '"}'], "consists of margin only"),
        (['mean={name="a", digest="' + DIGEST + '"}', "data.crop=96", "network.guide=5"], "0 or the width"),
        (['mean={name="a", digest="' + DIGEST + '"}', "data.crop=96", "data.blur=1"], "have no effect"),
        (
            ['mean={name="a", digest="' + DIGEST + '"}', "data.crop=96", "network.guide=48", "network.multipliers=[1]"],
            "no level",
        ),
    ],
)
def test_what_does_not_fit_a_mean_is_refused_in_one_line(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        apply_settings(preset("tiny-x4"), settings)


def with_small_contrast(upscaler, contrast):
    """Let the mean of a random network vary by little around grey."""
    with torch.no_grad():
        upscaler.denoiser.mean.tail.weight.mul_(contrast)
        upscaler.denoiser.mean.tail.bias.fill_(0.5)
    return upscaler


def test_where_the_mean_is_flat_a_sample_is_brought_near_to_it(tmp_path):
    """image + (1 - kept) (1 + (s / 2.5)^2)^-2 (mean - image), s the deviation of the mean in windows of 17x17."""
    upscaler = opened(tmp_path)
    with_small_contrast(upscaler, 0.002)
    small = low_res(12, 14) * torch.linspace(0, 1, 14)  # from flat on the left to busy on the right
    settings = upscaler.info.config.sampling
    sample = upscaler.upscale(small, sampling=settings, seeds=[1])
    calm = upscaler.upscale(small, sampling=settings.model_copy(update={"flat_detail": 0.3}), seeds=[1])
    mean = upscaler.denoiser.mean.mean(small).picture
    levels = mean[0].double().numpy() * 127.5
    average = [uniform_filter(power, (1, 17, 17), mode="mirror") for power in (levels, levels**2)]
    weight = (1 + (average[1] - average[0] ** 2).max(0).clip(0) / 2.5**2) ** -2
    assert weight.max() > 0.5
    assert weight.min() < 0.1
    expected = mean + (sample - mean) * (1 - 0.7 * torch.from_numpy(weight))
    torch.testing.assert_close(calm, expected.float(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("side", [1, 5, 6, 64])
def test_flat_places_are_the_same_in_windows_as_in_whole(tmp_path, monkeypatch, side):
    upscaler = opened(tmp_path)
    with_small_contrast(upscaler, 0.002)
    small = low_res(11, 13)
    mean = mean_in(upscaler.denoiser.mean, small, Window(0, 0, 11, 13)).picture
    image = torch.rand(1, 3, 44, 52)
    whole, parts = image.clone(), image.clone()
    calm_flat_places(whole, mean, kept=0.2)
    monkeypatch.setattr("sr3.sampling.mean_tiles._FLAT_SIDE", side)
    calm_flat_places(parts, mean, kept=0.2)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    assert float((whole - image).abs().max()) > 0.1


def test_a_picture_smaller_than_the_windows_of_flatness_is_still_drawn(tmp_path):
    upscaler = opened(tmp_path, "sampling.flat_detail=0.3")
    settings = upscaler.info.config.sampling
    assert upscaler.upscale(low_res(1, 2), sampling=settings, seeds=[0]).isfinite().all()


def test_flat_detail_needs_a_mean():
    with pytest.raises(ConfigError, match=r"flat_detail: the model has no mean predictor; leave .*\.flat_detail at 1"):
        apply_settings(preset("photos-x4"), ["sampling.flat_detail=0.5"])
