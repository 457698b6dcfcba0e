"""The pipeline for diffusers of contrib/diffusers, by diffusers itself."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sr3
from pictures import smooth, write_random_model
from sr3.diffusion.samplers import ddim
from sr3.errors import ConfigError

PIPELINE = Path(__file__).parents[1] / "contrib" / "diffusers" / "pipeline.py"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]
LEVEL = 1 / 255


def of_diffusers(name: str):
    """A class of diffusers, which takes seconds to import."""
    return getattr(importlib.import_module("diffusers"), name)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("models") / "mine.safetensors")


@pytest.fixture(scope="module")
def own(file):
    return sr3.load(str(file), device="cpu")


@pytest.fixture
def load(file, tmp_path, monkeypatch):
    """Load the pipeline as a user does: from a folder that names a model, with the file of the pipeline."""
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (tmp_path / "model_index.json").write_text(
        f'{{"_class_name": "SR3UpscalePipeline", "_diffusers_version": "0.35.0", "model": "{file}"}}'
    )

    def loaded(folder=tmp_path, **settings):
        return of_diffusers("DiffusionPipeline").from_pretrained(
            folder, custom_pipeline=str(PIPELINE), trust_remote_code=True, **settings
        )

    return loaded


def photo() -> Image.Image:
    return Image.fromarray(smooth(12, 16))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_images_are_those_of_sr3(load, own):
    pipe = load()
    large = pipe(photo(), num_inference_steps=3, num_images_per_prompt=2, generator=seeded(7)).images
    expected = own.upscale(photo(), steps=3, seed=7, samples=2)
    assert [np.array_equal(one, other) for one, other in zip(large, expected, strict=True)] == [True, True]
    default = pipe(photo()).images[0]
    assert np.array_equal(default, own.upscale(photo()))


def test_arrays_and_tensors_in_and_out(load, own):
    pipe, array = load(), np.asarray(photo(), dtype=np.float32) / 255
    expected = np.asarray(own.upscale(photo(), steps=2)) / 255
    many = pipe([array, array[:, ::-1].copy()], num_inference_steps=2, output_type="np").images
    assert many.shape == (2, 48, 64, 3)
    assert np.abs(many[0] - expected).max() <= LEVEL / 2 + 1e-6
    tensor = torch.from_numpy(array).movedim(-1, 0)
    (found,) = pipe(tensor, num_inference_steps=2, output_type="pt", return_dict=False)
    assert np.allclose(found[0].movedim(0, -1), many[0], atol=1e-6)


def test_ddim_of_diffusers_is_ours_at_its_levels(load, own):
    scheduler = of_diffusers("DDIMScheduler")(clip_sample=False, timestep_spacing="trailing", beta_end=0.03)
    pipe = load(scheduler=scheduler)
    large = pipe(photo(), num_inference_steps=10, generator=seeded(3)).images[0]
    scheduler.set_timesteps(10)
    gammas = [*scheduler.alphas_cumprod[scheduler.timesteps].tolist(), 1.0]
    expected = own.upscale(photo(), sampler=ddim, grid=gammas, seed=3)
    assert np.abs(np.asarray(large, dtype=int) - np.asarray(expected, dtype=int)).max() <= 1


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DDPMScheduler"])
def test_other_schedulers_walk_and_give_the_same_for_the_same_seed(load, name):
    pipe = load()
    pipe.scheduler = of_diffusers(name)(beta_end=0.03)
    first, second, other = (
        np.asarray(pipe(photo(), num_inference_steps=5, generator=seeded(seed)).images[0]) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_samples_of_a_scheduler_that_adds_noise_have_their_own(load):
    drawn = []

    class Watched(of_diffusers("DDPMScheduler")):
        def step(self, *states, generator, **options):
            drawn.append(generator.initial_seed())
            return super().step(*states, generator=generator, **options)

    pipe = load()
    pipe.scheduler = Watched(beta_end=0.03)
    pipe(photo(), num_inference_steps=5, num_images_per_prompt=3, generator=seeded(3))
    assert drawn == [seed for seed in drawn[::5] for _ in range(5)], "a sample goes on with its own noise"
    assert len(set(drawn)) == 3


def test_what_is_saved_can_be_loaded(load, tmp_path):
    pipe = load(scheduler=of_diffusers("DDIMScheduler")(clip_sample=False, beta_end=0.03))
    pipe.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert isinstance(again.scheduler, of_diffusers("DDIMScheduler"))
    first, second = (np.asarray(one(photo(), num_inference_steps=4).images[0]) for one in (pipe, again))
    assert np.array_equal(first, second)


def test_a_callback_sees_each_step_and_the_device_can_be_named(load):
    pipe, seen = load(), []
    pipe.set_progress_bar_config(disable=True)
    assert pipe.to("cpu") is pipe
    pipe(photo(), num_inference_steps=4, callback_on_step_end=lambda *values: seen.append(values))
    assert [(step, share) for _, step, share, _ in seen] == [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0)]
    assert seen[0][3]["image"].shape == (3, 48, 64)


def test_what_does_not_fit_is_one_line(load):
    pipe = load()
    with pytest.raises(ConfigError, match="output_type = 'jpeg': pil, np or pt"):
        pipe(photo(), output_type="jpeg")
    pipe.scheduler = of_diffusers("EulerDiscreteScheduler")()
    with pytest.raises(ConfigError, match="EulerDiscreteScheduler: its states are not"):
        pipe(photo())
    pipe.scheduler = of_diffusers("DDIMScheduler")()
    with pytest.raises(ConfigError, match="eta: leave it out"):
        pipe(photo(), eta=0.5)
