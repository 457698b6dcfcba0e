"""The search for the noise of an image that, made small, is the input."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from pictures import GENERATOR, write_random_model
from sr3.build import build_grid, build_sampler
from sr3.checkpoint import read_model
from sr3.config import SamplingConfig
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.schedule import cosine_grid
from sr3.errors import ImageError
from sr3.images.files import Picture, read_picture, write_picture
from sr3.images.resize import downsample
from sr3.sampling.generator import load_generator
from sr3.sampling.latent import Search, search, walk

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pulse.py"
PLAN = Search(steps=15, rate=0.1, calls=3)


@pytest.fixture
def generator(tmp_path):
    path = write_random_model(tmp_path / "generator.safetensors", settings=GENERATOR)
    return load_generator(read_model(path), device=torch.device("cpu"), dtype=torch.float32)


def inputs(generator, count=2, seed=7):
    """Small versions of images that the generator can make."""
    noise = NoiseSource([seed + k for k in range(count)]).draw((3, 16, 16))
    with torch.no_grad():
        return downsample(walk(generator, noise, cosine_grid(3)), 4)


def test_the_walk_is_ddim_without_noise(generator):
    noise, grid = NoiseSource([1]).draw((3, 16, 16)), cosine_grid(3)
    sampling = SamplingConfig(sampler="ddim", steps=3, grid="cosine")
    assert torch.equal(build_grid(sampling), grid)
    denoise = generator.denoiser.bind(noise[:, :0], clip=False)
    *_, last = build_sampler(sampling)(denoise, noise, grid, NoiseSource([1]))
    with torch.no_grad():
        torch.testing.assert_close(walk(generator, noise, grid), generator.denoiser.decode(last.y, noise[:, :0]))


def test_the_search_brings_the_small_picture_nearer_to_the_input(generator):
    low_res = inputs(generator)
    steps = list(search(generator, low_res, PLAN, seed=0))
    assert [found.step for found in steps] == list(range(16))
    best = torch.stack([found.losses for found in steps]).amin(dim=0)
    assert (best < 0.5 * steps[0].losses).all()
    reached = (downsample(steps[-1].image, 4) - low_res).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(reached, best)


def test_a_picture_is_searched_alone_as_in_a_batch(generator):
    low_res = inputs(generator)
    *_, together = search(generator, low_res, PLAN, seed=0)
    *_, alone = search(generator, low_res[1:], PLAN, seed=0)
    torch.testing.assert_close(alone.image, together.image[1:], atol=1e-3, rtol=0)


def test_the_noise_stays_on_its_sphere(generator, monkeypatch):
    radii = []

    def watched(generator, noise, grid):
        radii.extend(noise.detach().flatten(1).norm(dim=1).tolist())
        return walk(generator, noise, grid)

    monkeypatch.setattr("sr3.sampling.latent.walk", watched)
    list(search(generator, inputs(generator, 1), PLAN, seed=0))
    assert radii[1:] == pytest.approx([math.sqrt(3 * 16 * 16)] * 15)


@pytest.mark.parametrize("shape", [(1, 3, 5, 5), (1, 3, 4, 8), (1, 1, 4, 4)])
def test_inputs_that_are_no_fraction_of_the_generators_pictures_are_refused(generator, shape):
    with pytest.raises(ImageError, match="do not fit generator, which makes 16x16 with 3"):
        next(search(generator, torch.zeros(shape), PLAN, seed=0))


@pytest.fixture
def pulse(tmp_path):
    (tmp_path / "small").mkdir()
    spec = importlib.util.spec_from_file_location("pulse", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_script_writes_a_picture_for_every_input(tmp_path, generator, pulse, capsys):
    write_picture(tmp_path / "small" / "one.png", Picture(inputs(generator, 1)[0].clamp(-1, 1)))
    options = ["--generator", str(tmp_path / "generator.safetensors"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert pulse.main([str(tmp_path / "small"), *options, "--steps", "2", "--calls", "2", "--starts", "2"]) == 0
    assert read_picture(tmp_path / "out" / "one.png").pixels.shape == (3, 16, 16)
    capsys.readouterr()
    assert pulse.main([str(tmp_path / "small"), *options, "--calls", "0"]) == 2
    assert capsys.readouterr().err == "pulse.py: --calls 0: give at least 1\n"


def test_the_script_enlarges_what_it_found_by_further_stages(tmp_path, generator, pulse, capsys):
    larger = str(write_random_model(tmp_path / "larger.safetensors"))
    write_picture(tmp_path / "small" / "one.png", Picture(inputs(generator, 1)[0].clamp(-1, 1)))
    generators = {"alone": str(tmp_path / "generator.safetensors")}
    generators["staged"] = f"{generators['alone']},{larger}"
    for name, models in generators.items():
        options = ["--generator", models, "-o", str(tmp_path / name), "--device", "cpu", "--steps", "3", "--calls", "2"]
        assert pulse.main([str(tmp_path / "small"), *options]) == 0
    alone, staged = (read_picture(tmp_path / name / "one.png").pixels for name in generators)
    assert staged.shape == (3, 64, 64)
    assert float((downsample(staged, 4) - alone).abs().mean()) < 0.1  # corrected, but what a random network makes clips
    told = [float(line.rsplit(" ", 1)[1]) for line in capsys.readouterr().out.splitlines()]
    small = read_picture(tmp_path / "small" / "one.png").pixels
    assert told[1] == pytest.approx(float((downsample(staged, 16) - small).square().mean()), rel=0.05)
