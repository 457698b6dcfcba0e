"""Our samplers beside the schedulers of diffusers, at equal levels, on data whose denoiser is known in closed form."""

import importlib
import math

import numpy as np
import pytest
import torch

from oracles import Scripted, exact_flow, oracle
from sr3.diffusion.denoiser import Prediction
from sr3.diffusion.samplers import ddim, dpmpp_2m, heun, last

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # its arrays of tensors

SCHEDULE = {"num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
START = torch.linspace(-3, 3, 31, dtype=torch.float64).reshape(1, 1, 1, -1)
ROUNDING = 1e-5
"""Schedulers have their levels in float32, and ours in float64."""


def of_diffusers(name: str):
    """A class of diffusers, which takes seconds to import."""
    return getattr(importlib.import_module("diffusers"), name)


def level(gamma: float) -> torch.Tensor:
    return torch.tensor([gamma], dtype=torch.float64)


def answer(y, gamma: float, kind: str):
    """Answer as a perfect network of a prediction_type: eps, y0, or v = sqrt(gamma) eps - sqrt(1 - gamma) y0."""
    y0, eps = oracle(y, level(gamma))
    v = math.sqrt(gamma) * eps - math.sqrt(1 - gamma) * y0
    return {"epsilon": eps, "sample": y0, "v_prediction": v}[kind]


def by_ddim(steps: int, *, eta: float = 0.0, noise=(), kind: str = "epsilon", spacing: str = "leading", clip=False):
    """Sample by DDIMScheduler; returns the result and the levels at which it calls the network, with 1 at the end."""
    scheduler = of_diffusers("DDIMScheduler")(
        **SCHEDULE, clip_sample=clip, timestep_spacing=spacing, prediction_type=kind, set_alpha_to_one=True
    )
    scheduler.set_timesteps(steps)
    y, gammas = START, [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps]
    for number, (t, gamma) in enumerate(zip(scheduler.timesteps, gammas, strict=True)):
        added = torch.full_like(y, noise[number]) if noise else None
        out = scheduler.step(
            answer(y, gamma, kind), int(t), y, eta=eta, variance_noise=added, use_clipped_model_output=clip
        )
        y = out.prev_sample
    return y, torch.tensor([*gammas, 1.0], dtype=torch.float64)


def by_multistep(kind, steps: int, **settings):
    """Sample by a scheduler that has its levels as sigmas; returns the result and the levels."""
    scheduler = kind(**SCHEDULE, final_sigmas_type="zero", **settings)
    scheduler.set_timesteps(steps)
    y, gammas = START, 1 / (1 + scheduler.sigmas.double() ** 2)
    for number, t in enumerate(scheduler.timesteps):
        y = scheduler.step(answer(y, float(gammas[number]), "epsilon"), t, y).prev_sample
    return y, gammas


def by_heun(steps: int, **settings):
    """Sample by HeunDiscreteScheduler, whose states are ours divided by sqrt(gamma); also returns the network calls."""
    scheduler = of_diffusers("HeunDiscreteScheduler")(**SCHEDULE, **settings)
    scheduler.set_timesteps(steps)
    sigmas = torch.cat([scheduler.sigmas[:1], scheduler.sigmas[1:-1:2], scheduler.sigmas[-1:]]).double()
    gammas = 1 / (1 + sigmas**2)
    u = START / gammas[0].sqrt()
    for t in scheduler.timesteps:
        y = scheduler.scale_model_input(u, t)
        gamma = 1 / (1 + float(scheduler.sigmas[scheduler.step_index]) ** 2)
        u = scheduler.step(answer(y, gamma, "epsilon"), t, u).prev_sample
    return u, gammas, len(scheduler.timesteps)


def difference(first, second) -> float:
    return float((first - second).abs().max())


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_is_that_of_diffusers(steps, kind, spacing):
    theirs, grid = by_ddim(steps, kind=kind, spacing=spacing)
    assert difference(theirs, last(ddim(oracle, START, grid, Scripted()))) < ROUNDING


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_eta_is_that_of_diffusers(eta):
    noise = np.random.default_rng(0).standard_normal(10).tolist()
    theirs, grid = by_ddim(10, eta=eta, noise=noise)
    ours = last(ddim(oracle, START, grid, Scripted(*([one] for one in noise[:-1])), eta=eta))
    assert difference(theirs, ours) < ROUNDING


def test_clipping_is_that_of_use_clipped_model_output():
    """Held in [-1, 1], the clean state has another noise, which diffusers only takes when it is asked to."""

    def clipped(y, gamma):
        y0 = oracle(y, gamma).y0.clamp(-1, 1)
        return Prediction(y0, (y - gamma.sqrt() * y0) / (1 - gamma).sqrt())

    theirs, grid = by_ddim(10, clip=True)
    assert difference(theirs, last(ddim(clipped, START, grid, Scripted()))) < ROUNDING
    assert difference(theirs, by_ddim(10)[0]) > 0.01


@pytest.mark.parametrize("settings", [{"timestep_spacing": "trailing"}, {"use_karras_sigmas": True}])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_dpmpp_2m_is_that_of_diffusers(steps, settings):
    theirs, grid = by_multistep(of_diffusers("DPMSolverMultistepScheduler"), steps, **settings)
    assert difference(theirs, last(dpmpp_2m(oracle, START, grid, Scripted()))) < ROUNDING


@pytest.mark.parametrize("settings", [{"timestep_spacing": "linspace"}, {"use_karras_sigmas": True}])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_heun_is_that_of_diffusers_and_takes_as_many_calls(steps, settings):
    theirs, grid, calls = by_heun(steps, **settings)
    assert calls == heun.traits.calls(steps) == 2 * steps - 1
    assert difference(theirs, last(heun(oracle, START, grid, Scripted()))) < ROUNDING


@pytest.mark.parametrize(("steps", "bound"), [(5, 0.02), (10, 0.06), (20, 0.02), (40, 0.015)])
def test_unipc_differs_from_dpmpp_2m_by_a_part_of_the_error_of_both(steps, bound):
    settings = {"use_karras_sigmas": True}
    theirs, grid = by_multistep(of_diffusers("UniPCMultistepScheduler"), steps, **settings)
    ours, truth = last(dpmpp_2m(oracle, START, grid, Scripted())), exact_flow(START, float(grid[0]))
    between = difference(theirs, ours)
    assert ROUNDING < between < bound
    assert between < max(difference(theirs, truth), difference(ours, truth))


def test_ddim_with_linspace_goes_to_other_levels_than_it_calls_next():
    """A step of DDIMScheduler always spans 1000 // steps; with linspace the next call is 999 / (steps - 1) away."""
    theirs, grid = by_ddim(10, spacing="linspace")
    assert difference(theirs, last(ddim(oracle, START, grid, Scripted()))) > 0.1


def test_the_page_lists_the_levels_of_diffusers():
    """The example of docs/how-to/from-diffusers.md makes the levels of `trailing`."""
    betas = np.linspace(1e-4, 0.02, 1000)
    timesteps = np.arange(1000, 0, -1000 / 20).round().astype(int) - 1
    gammas = [*np.cumprod(1 - betas)[timesteps].tolist(), 1.0]
    _, grid = by_ddim(20, spacing="trailing")
    np.testing.assert_allclose(gammas, grid.numpy(), rtol=2e-5)
