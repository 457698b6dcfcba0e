"""Samplers and levels that a program brings: the same bytes as by settings, and one line for what does not fit."""

from functools import partial

import numpy as np
import pytest
import torch

import sr3
from pictures import smooth, write_random_model
from sr3.build import build_grid
from sr3.checkpoint import read_model
from sr3.config import SamplingConfig
from sr3.diffusion import NoiseSource, Step, Traits, cosine_grid, described, karras_grid, level_pairs, samplers
from sr3.errors import ConfigError, GridError, ImageError
from sr3.images.enlarge import enlarge
from sr3.runtime import free_memory
from sr3.sampling.consistency import match_low_frequencies
from sr3.sampling.plan import SamplingPlan, as_plan, plan_for, sampling_for
from sr3.upscaling import memory
from sr3.upscaling.sizing import steps_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="module")
def model(path):
    return sr3.load(str(path), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def info(path):
    return read_model(path).info


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """What the packaged student says of itself, and what a regression does."""
    folder = tmp_path_factory.mktemp("students")
    taught = [
        'objective={kind="distillation", teacher="big", digest="' + "0" * 64 + '", steps=3}',
        *("denoiser.prediction=v", "sampling.sampler=distilled"),
        *("sampling.steps=3", "sampling.grid=cosine"),
    ]
    student = write_random_model(folder / "student.safetensors", settings=taught)
    regression = write_random_model(folder / "regression.safetensors", of="tiny-x4-regression")
    return read_model(student).info, read_model(regression).info


def photo():
    return smooth(6, 10)


def jump(denoise, y, grid, noise):  # noqa: ARG001 (the form of a sampler)
    """Go to the predicted image at once."""
    for gamma, _ in level_pairs(grid, y):
        y0 = denoise(y, gamma).y0
        yield Step(y0, y0)


@pytest.mark.parametrize("name", ["ancestral", "ancestral-posterior", "ddim", "dpmpp-2m", "heun", "probability-flow"])
def test_a_sampler_by_value_gives_the_bytes_that_its_name_gives(model, name):
    named = model.upscale(photo(), sampler=name, grid="cosine", steps=3)
    assert np.array_equal(model.upscale(photo(), sampler=samplers.SAMPLERS[name], grid="cosine", steps=3), named)
    assert np.array_equal(model.upscale(photo(), sampler=samplers.SAMPLERS[name], grid=cosine_grid(3)), named)
    assert np.array_equal(model.upscale(photo(), sampler=name, grid=cosine_grid(3).tolist()), named)


def test_the_models_own_levels_are_walked_where_no_grid_is_given(model, info):
    own = build_grid(sampling_for(info, steps=4, sampler="ddim"))
    named = model.upscale(photo(), sampler="ddim", steps=4)
    assert np.array_equal(model.upscale(photo(), sampler=samplers.ddim, steps=4), named)
    assert np.array_equal(model.upscale(photo(), sampler=samplers.ddim, grid=own), named)


def test_refining_and_files_take_the_same(model, tmp_path):
    from PIL import Image

    Image.fromarray(photo()).save(tmp_path / "in.png")
    expected = model.upscale(photo(), sampler=samplers.heun, grid=karras_grid(3))
    *_, refined = model.refine(photo(), sampler=samplers.heun, grid=karras_grid(3))
    assert (refined.step, refined.steps) == (3, 3)
    assert np.array_equal(refined.image, expected)
    model.upscale_file(tmp_path / "in.png", tmp_path / "out.png", sampler=samplers.heun, grid=karras_grid(3))
    with Image.open(tmp_path / "out.png") as written:
        assert np.array_equal(np.asarray(written), expected)


def test_eta_is_that_of_the_settings_and_of_a_partial(model):
    by_argument = model.upscale(photo(), sampler="ddim", steps=3, eta=1.0)
    assert np.array_equal(model.upscale(photo(), sampler=samplers.ddim, steps=3, eta=1.0), by_argument)
    assert np.array_equal(model.upscale(photo(), sampler=partial(samplers.ddim, eta=1.0), steps=3), by_argument)
    assert not np.array_equal(model.upscale(photo(), sampler="ddim", steps=3), by_argument)


def test_a_sampler_of_ones_own_gives_what_its_formula_says(model):
    low_res = torch.from_numpy(photo()).permute(2, 0, 1)[None] / 127.5 - 1
    upscaler = model.upscaler
    plan = plan_for(upscaler.info, sampler=jump, grid=[0.002, 1])
    found = upscaler.upscale(low_res, sampling=plan, seeds=[5])
    x = enlarge(low_res, 4, "full")
    start = NoiseSource([5]).like(x)
    denoise = upscaler.denoiser.bind(x, clip=plan.settings.clip)
    with torch.no_grad():
        y0 = denoise(start, torch.tensor([0.002], dtype=torch.float64)).y0
    expected = upscaler.denoiser.decode(y0, x).clamp(-1, 1)
    torch.testing.assert_close(found, match_low_frequencies(expected, low_res), atol=1e-4, rtol=0)


def test_a_plan_is_made_of_settings_and_taken_in_their_place(model):
    low_res = torch.rand(1, 3, 6, 10) * 2 - 1
    settings = SamplingConfig(sampler="dpmpp-2m", steps=3, grid="cosine", eta=0.5)
    by_settings = model.upscaler.upscale(low_res, sampling=settings, seeds=[1])
    plan = as_plan(settings)
    assert as_plan(plan) is plan
    assert torch.equal(plan.grid, cosine_grid(3))
    assert torch.equal(model.upscaler.upscale(low_res, sampling=plan, seeds=[1]), by_settings)


def test_given_levels_are_walked_in_every_pass(model, info):
    plan = plan_for(info, sampler=jump, grid=cosine_grid(8))
    assert steps_of(plan, 2) == 16
    assert steps_of(plan_for(info, sampler=jump, grid="cosine", steps=8), 2) == 12
    assert model.upscale(photo(), scale=8, sampler=jump, grid=cosine_grid(2)).shape == (48, 80, 3)


def test_memory_is_that_of_the_costliest_sampler_unless_the_function_says_more(model, monkeypatch):
    pixels = 24 * 40
    monkeypatch.setattr(free_memory, "free_memory", lambda: pixels * memory.BYTES_PER_PIXEL)
    with pytest.raises(ImageError, match="a result of 40x24 needs about"):
        model.upscale(photo(), sampler=jump, grid=[0.001, 1])
    light = described("jump", Traits(calls_per_step=1, extra_states=0, noise="never"))(jump)
    assert model.upscale(photo(), sampler=light, grid=[0.001, 1]).shape == (24, 40, 3)
    unknown = memory.bytes_of(samplers.UNKNOWN)
    assert unknown == max(memory.bytes_of(sampler.traits) for sampler in samplers.SAMPLERS.values())
    assert unknown == memory.BYTES_PER_PIXEL + 7 * 12


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ([0.001, 0.5, 0.4, 1], r"but 0\.4 follows 0\.5; sort the levels"),
        ([0.001, 0.5, 0.9], r"but it ends at 0\.9; append 1"),
        ([0.0, 0.5, 1], r"but it starts at 0; start at a small level"),
        ([0.3, 1], r"starts at gamma 0\.3, but sampling starts from pure noise"),
        (["a", 1], "give a family's name, or a list or tensor of gammas"),
        ([], "at least two finite gammas"),
    ],
)
def test_levels_from_which_no_sample_can_come_are_one_line(model, grid, said):
    with pytest.raises(GridError, match=said) as raised:
        model.upscale(photo(), sampler=samplers.ddim, grid=grid)
    assert "\n" not in str(raised.value)
    with pytest.raises(GridError, match=said):
        model.refine(photo(), grid=grid)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"grid": [0.001, 0.5, 1], "steps": 3}, "steps = 3: the grid has levels for 2 steps"),
        ({"sampler": 3}, "sampler = 3: give a name, or a function"),
        ({"sampler": "euler"}, r'tiny: sampling\.sampler = "euler"'),
        ({"grid": "square"}, r'tiny: sampling\.grid = "square"'),
        ({"sampler": "heun", "eta": 0.5}, r"eta = 0\.5: the sampler heun has no eta"),
        ({"sampler": jump, "eta": 0.5}, r"eta = 0\.5: the sampler jump has no eta"),
        ({"sampler": samplers.ddim, "eta": 2}, "eta = 2: give a share"),
    ],
)
def test_what_does_not_go_together_is_one_line(model, asked, said):
    with pytest.raises(ConfigError, match=said) as raised:
        model.upscale(photo(), **asked)
    assert "\n" not in str(raised.value)


def test_a_regression_takes_no_sampler_and_no_levels(students):
    _, regression = students
    for asked in ({"sampler": jump}, {"grid": [0.001, 1]}):
        with pytest.raises(ConfigError, match="regression: a regression model predicts in one call"):
            plan_for(regression, **asked)
    with pytest.raises(ConfigError, match="cannot be sampled by ddim"):
        plan_for(regression, sampler="ddim")
    assert plan_for(regression).calls == 1


def test_a_distilled_model_takes_its_own_levels_only(students):
    student, _ = students
    own = plan_for(student)
    assert (own.sampler.name, own.steps, own.calls) == ("distilled", 3, 3)
    assert torch.equal(plan_for(student, sampler=jump).grid, own.grid)
    assert torch.equal(plan_for(student, sampler=samplers.ddim, grid=own.grid.tolist()).grid, own.grid)
    with pytest.raises(
        ConfigError, match=r"student: a distilled model can use only the levels .* use its teacher, big"
    ):
        plan_for(student, grid=[0.001, 0.4, 0.8, 1])
    with pytest.raises(ConfigError, match="is sampled with the steps it was trained with, 3, not 4"):
        plan_for(student, sampler=jump, steps=4)


def forgetful(denoise, y, grid, noise):
    yield from list(jump(denoise, y, grid, noise))[1:]


def restless(denoise, y, grid, noise):
    yield from jump(denoise, y, grid, noise)
    yield Step(y, y)


def bare(_denoise, y, _grid, _noise):
    yield y, y


def cropped(_denoise, y, _grid, _noise):
    yield Step(y[..., 1:], y[..., 1:])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (forgetful, "sampler forgetful: ended after 2 of 3 steps"),
        (restless, "sampler restless: takes more than 3 steps"),
        (bare, r"sampler bare: yielded tuple, not Steps of \(1, 3, 24, 40\)"),
        (cropped, r"sampler cropped: yielded states of \(1, 3, 24, 39\), not Steps of \(1, 3, 24, 40\)"),
    ],
)
def test_a_function_that_is_no_sampler_is_told_so(model, function, said):
    with pytest.raises(ConfigError, match=f"{said}; it yields one Step for each pair"):
        model.upscale(photo(), sampler=function, grid=cosine_grid(3))


def test_calls_are_counted_with_the_one_more_of_a_detail_below_1(info):
    assert plan_for(info, sampler="heun", steps=4).calls == 7
    assert plan_for(info, sampler="heun", steps=4, detail=0.5).calls == 8
    assert plan_for(info, sampler=jump, grid=cosine_grid(4)).calls == 16


def test_numbers_of_numpy_are_numbers(info):
    assert plan_for(info, sampler="ddim", steps=np.int64(4), eta=np.float64(0.5)).steps == 4
    assert plan_for(info, grid=np.array([0.001, 0.5, 1.0])).steps == 2


def test_a_plan_checks_levels_of_its_own(info):
    with pytest.raises(GridError, match="append 1"):
        SamplingPlan(info.config.sampling, samplers.as_sampler(jump), torch.tensor([0.001, 0.5]).double())
