"""Ways of sampling that docs/explanation/samplers.md measured to leave noise are told so in one line."""

import warnings

import pytest
from PIL import Image

from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.config import SamplingConfig
from sr3.config.sampling import SearchedGrid
from sr3.upscaling.noise_advice import weakness


@pytest.mark.parametrize(
    ("sampler", "steps", "grid", "said"),
    [
        (
            "ancestral",
            3,
            "cosine",
            "ancestral in 3 steps leaves noise in the result; give 32 or more --steps, or --sampler dpmpp-2m",
        ),
        ("ancestral", 32, "cosine", ""),
        ("ancestral", 1, "cosine", ""),
        ("ancestral-posterior", 3, "cosine", ""),
        (
            "heun",
            4,
            "cosine",
            "heun in 4 steps on a cosine grid leaves noise in the result; give 32 or more --steps, or --grid karras",
        ),
        (
            "heun",
            4,
            "karras",
            "heun in 4 steps leaves noise in the result; give 8 or more --steps, or --sampler dpmpp-2m",
        ),
        ("heun", 8, "karras", ""),
        ("predictor-corrector", 8, "cosine", "leaves noise"),
        ("dpmpp-2m", 2, "cosine", ""),
        ("probability-flow", 3, "cosine", ""),
    ],
)
def test_few_steps_of_a_noisy_sampler_are_told(sampler, steps, grid, said):
    found = weakness(SamplingConfig(sampler=sampler, steps=steps, grid=grid))
    assert said in found
    assert bool(said) == bool(found)


def test_levels_that_were_searched_are_trusted():
    searched = SearchedGrid(
        sampler="ancestral", eta=0, steps=3, gammas=(0.1, 0.5, 0.9, 1), metric="m", score=1, before=2
    )
    assert weakness(SamplingConfig(sampler="ancestral", steps=3, searched=(searched,))) == ""


@pytest.mark.slow
def test_the_command_says_it_once_and_goes_on(tmp_path, capsys):
    model = write_random_model(tmp_path / "m.safetensors")
    for name in "ab":
        Image.fromarray(smooth(8, 8)).save(tmp_path / f"{name}.png")
    pictures = [str(tmp_path / f"{name}.png") for name in "ab"]
    way = ["--sampler", "ancestral", "--steps", "3", "--model", str(model)]
    with warnings.catch_warnings(action="always"):
        assert run(["upscale", *pictures, "-o", str(tmp_path / "out"), *way]) == 0
    assert capsys.readouterr().err.count("warning: ancestral in 3 steps leaves noise") == 1
