"""From an image to samples."""

import pytest
import torch

from pictures import smooth, write_random_model
from sr3.checkpoint import ModelFile, read_model
from sr3.config import apply_settings
from sr3.diffusion.noise import NoiseSource
from sr3.errors import CheckpointError, ConfigError
from sr3.images.resize import downsample
from sr3.runtime.device import choose_device, choose_dtype
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import load_upscaler, open_upscaler

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def upscaler(tmp_path):
    return open_upscaler(str(write_random_model(tmp_path / "m.safetensors")), device="cpu", dtype="float32")


def low_res(height=12, width=16, *, seed=0) -> torch.Tensor:
    return torch.from_numpy(smooth(height, width, seed=seed)).permute(2, 0, 1)[None].float() / 127.5 - 1


def draw(upscaler, x, seeds, **changes):
    sampling = sampling_for(upscaler.info, steps=3, sampler="ancestral").model_copy(update=changes)
    return upscaler.upscale(x, sampling=sampling, seeds=seeds)


def test_a_sample_has_scale_times_the_size_and_stays_in_range(upscaler):
    for size in ((12, 16), (13, 17), (1, 1), (5, 40)):
        image = draw(upscaler, low_res(*size), [0])
        assert image.shape == (1, 3, size[0] * 4, size[1] * 4)
        assert float(image.abs().max()) <= 1


def test_the_low_frequencies_of_a_sample_are_the_inputs(upscaler):
    x = low_res() * 0.8
    sample, raw = draw(upscaler, x, [0]), draw(upscaler, x, [0], correct=False)
    assert float((downsample(sample, 4) - x).square().mean()) / 4 < 1e-5
    assert float((downsample(raw, 4) - x).square().mean()) / 4 > 1e-4


def test_the_same_seed_gives_the_same_picture_and_another_one_another(upscaler):
    x = low_res()
    assert torch.equal(draw(upscaler, x, [5]), draw(upscaler, x, [5]))
    assert not torch.allclose(draw(upscaler, x, [5]), draw(upscaler, x, [6]), atol=0.01)


def test_an_image_alone_is_the_same_image_in_a_batch(upscaler):
    a, b = low_res(seed=1), low_res(seed=2)
    together = draw(upscaler, torch.cat([a, b]), [1, 2])
    assert torch.equal(together[1:], draw(upscaler, b, [2]))


def test_only_the_last_picture_is_corrected(upscaler):
    x = low_res() * 0.8
    sampling = sampling_for(upscaler.info, steps=3, sampler="ddim")
    errors = [float((downsample(g, 4) - x).square().mean()) for g in upscaler.samples(x, sampling=sampling, seeds=[0])]
    assert min(errors[:-1]) > 1e-4
    assert errors[-1] < 1e-5


def test_a_sample_is_corrected_to_the_input_as_it_was_before_it_was_noised(tmp_path):
    file = write_random_model(tmp_path / "m.safetensors", settings=["network.condition_level=true"])
    x = low_res() * 0.8
    sample = draw(open_upscaler(str(file), device="cpu", dtype="float32"), x, [0], condition_gamma=0.5)
    assert float((downsample(sample, 4) - x).square().mean()) < 1e-5


def test_detail_0_is_an_eighth_of_the_sample_and_else_the_mean_of_two_first_guesses_of_mirrored_noise(
    upscaler, monkeypatch
):
    x, way = low_res() * 0.5, {"correct": False, "clip": False, "sampler": "ddim", "steps": 1}
    sample, dulled = draw(upscaler, x, [0], **way), draw(upscaler, x, [0], detail=0.0, **way)
    like = NoiseSource.like
    monkeypatch.setattr(NoiseSource, "like", lambda noise, image: -like(noise, image))
    mirrored = draw(upscaler, x, [0], **way)
    inside = (sample.abs() < 1) & (mirrored.abs() < 1)
    expected = ((sample + mirrored) / 2).lerp(sample, 0.125)
    assert float(inside.float().mean()) > 0.5
    assert float((sample - mirrored).abs().mean()) > 0.01
    torch.testing.assert_close(dulled[inside], expected[inside], atol=1e-5, rtol=0)


def test_every_step_yields_a_picture(upscaler):
    sampling = sampling_for(upscaler.info, steps=5, sampler="ddim")
    guesses = list(upscaler.samples(low_res(), sampling=sampling, seeds=[0]))
    assert [tuple(guess.shape) for guess in guesses] == [(1, 3, 48, 64)] * 5
    assert torch.equal(guesses[-1], upscaler.upscale(low_res(), sampling=sampling, seeds=[0]))


def test_tiles_change_a_picture_little(tmp_path):
    path = str(write_random_model(tmp_path / "m.safetensors"))
    whole, cut = (open_upscaler(path, device="cpu", dtype="float32", tile=tile) for tile in (1024, 128))
    x = low_res(12, 48)
    for sampler in ("ddim", "ancestral-posterior"):
        difference = draw(whole, x, [0], sampler=sampler) - draw(cut, x, [0], sampler=sampler)
        # Group normalisation sees a window instead of the whole, so the two are near, not equal.
        assert 0 < float(difference.abs().mean()) < 0.02


def test_the_settings_of_the_user_take_the_place_of_the_models(upscaler):
    sampling = sampling_for(upscaler.info, steps=None, sampler=None)
    assert sampling == upscaler.info.config.sampling
    assert sampling_for(upscaler.info, steps=7, sampler="ancestral").steps == 7
    with pytest.raises(ConfigError, match=r"sampling\.steps = 0"):
        sampling_for(upscaler.info, steps=0, sampler=None)
    with pytest.raises(ConfigError, match=r"sampling\.sampler"):
        sampling_for(upscaler.info, steps=None, sampler="euler")


def test_weights_of_another_shape_are_refused_in_one_line(tmp_path):
    model = read_model(write_random_model(tmp_path / "m.safetensors"))
    other = model.info.model_copy(update={"config": apply_settings(model.info.config, ["network.width=32"])})
    with pytest.raises(CheckpointError, match="do not fit") as caught:
        load_upscaler(ModelFile(other, model.weights), device=CPU, dtype=torch.float32)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_answered_with_what_there_is(tmp_path):
    with pytest.raises(CheckpointError, match="no packaged model"):
        open_upscaler(str(tmp_path / "nothing"))


def test_devices_and_types_that_do_not_exist_are_refused():
    assert choose_device("cpu") == CPU
    with pytest.raises(ConfigError, match="device tpu"):
        choose_device("tpu")
    with pytest.raises(ConfigError, match="dtype float64"):
        choose_dtype("float64", CPU)
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16
    assert choose_dtype("auto", CPU) in (torch.float32, torch.bfloat16)
