"""Settings become the objects they name."""

import pytest
import torch

from sr3.build import build_denoiser, build_gammas, build_grid, build_network, build_recipe, build_sampler
from sr3.config import BigGANConfig, Config, SamplingConfig, ScheduleConfig, apply_settings
from sr3.diffusion import samplers, schedule
from sr3.diffusion.denoiser import Prediction
from sr3.diffusion.noise import NoiseSource
from sr3.errors import GridError
from sr3.presets import PRESETS, preset
from sr3.sampling.plan import SamplingPlan

SMALL = BigGANConfig(width=8, multipliers=(1, 2), blocks=1, features=8, attention=(1,), dropout=0.1, stem=2)


def halve(z, gamma):
    return Prediction(z / 2, z * gamma.to(z).reshape(-1, 1, 1, 1))


def test_the_network_has_the_settings_shape():
    network = build_network(SMALL, image_channels=4, scale=4)
    assert network.config is SMALL
    assert (network.image_channels, network.condition_channels) == (4, 4)
    assert (network.head.in_channels, network.tail.out_channels) == ((4 + 4) * 4, 4 * 4)


def test_the_denoiser_means_what_the_settings_say():
    config = apply_settings(
        Config(network=SMALL), ["denoiser.prediction=v", "denoiser.target=residual", "denoiser.target_scale=3"]
    )
    denoiser = build_denoiser(config, image_channels=1)
    assert (denoiser.prediction, denoiser.target, denoiser.target_scale) == ("v", "residual", 3.0)
    assert denoiser.network.head.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_levels_are_those_of_the_schedule():
    assert torch.equal(build_gammas(ScheduleConfig()), schedule.linear_gammas(2000, 1e-6, 1e-2))
    assert torch.equal(build_gammas(ScheduleConfig(kind="cosine", num_levels=50)), schedule.cosine_gammas(50))


def test_the_grid_is_that_of_its_family():
    for kind in ("linear", "cosine", "log_snr", "karras"):
        grid = build_grid(SamplingConfig(grid=kind, steps=30, gamma_first=1e-3))
        assert torch.equal(grid, getattr(schedule, f"{kind}_grid")(30, gamma_first=1e-3))


def test_the_recipe_is_that_of_the_data():
    config = preset("photos-x4")
    assert build_recipe(config) == (config.data, 0, True, 0)
    assert build_recipe(preset("imagenet-64-small"))[1:] == (1000, False, 0)


@pytest.mark.parametrize(
    ("name", "direct"),
    [
        ("ancestral", lambda *a: samplers.ancestral(*a, variance="forward")),
        ("ancestral-posterior", lambda *a: samplers.ancestral(*a, variance="posterior")),
        ("ddim", lambda *a: samplers.ddim(*a, eta=0.25)),
        ("dpmpp-2m", lambda *a: samplers.dpmpp_2m(*a, eta=0.25)),
        ("heun", lambda d, y, grid, _: samplers.heun(d, y, grid, NoiseSource([1]))),
        ("probability-flow", lambda d, y, grid, _: samplers.probability_flow(d, y, grid, NoiseSource([1]))),
        ("predictor-corrector", samplers.predictor_corrector),
        ("regression", lambda d, y, *_: samplers.one_call(d, y, schedule.cosine_grid(1), NoiseSource([1]))),
    ],
)
def test_the_sampler_is_the_one_named(name, direct):
    y, grid = torch.randn(1, 1, 4, 4), schedule.cosine_grid(5)
    ours = build_sampler(SamplingConfig(sampler=name, eta=0.25, steps=1))(halve, y, grid, NoiseSource([1]))
    assert torch.equal(samplers.last(ours), samplers.last(direct(halve, y, grid, NoiseSource([1]))))


def test_a_shortened_training_schedule_is_refused_with_the_remedy():
    gammas = schedule.linear_gammas(100, 1e-6, 1e-2)
    grid = torch.cat([gammas.flip(0), torch.ones(1, dtype=torch.float64)])
    with pytest.raises(GridError, match=r"gamma 0\.60.*0\.187.*cosine_grid"):
        SamplingPlan(SamplingConfig(), build_sampler(SamplingConfig()), grid)


PARAMETERS = {
    "photos-x4": 8.5e6,
    "tiny-x4": 1.76e5,
    # Table A.1 of the paper.
    "faces-16-128": 550e6,
    "faces-64-512": 625e6,
    "imagenet-64-256": 625e6,
    "faces-256-1024": 150e6,
    # Open in the paper.
    "faces-64": 157e6,
    "imagenet-64": 292e6,
    "faces-16-128-small": 7.1e6,
    "faces-64-512-small": 8.5e6,
    "imagenet-64-256-small": 8.5e6,
    "faces-256-1024-small": 8.5e6,
    "faces-64-small": 10.1e6,
    "imagenet-64-small": 10.3e6,
    "fsrcnn-x4": 24_683,
    "drcn-x4": 1.78e6,
    "rcan-x4": 15.59e6,
    "enet-x4": 0.853e6,
    "enet-pat-x4": 0.853e6,
    "fsrcnn-x4-small": 10_872,
    "drcn-x4-small": 29_515,
    "rcan-x4-small": 0.338e6,
    "span-x4": 0.4263e6,
    "span-x4-small": 0.1391e6,
    "enet-x4-small": 0.122e6,
    "enet-pat-x4-small": 0.122e6,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_parameters_and_a_grid(name):
    config = preset(name)
    with torch.device("meta"):
        network = build_network(config.network, image_channels=3, scale=config.data.scale)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(PARAMETERS[name], rel=0.04)
    assert len(build_grid(config.sampling)) == config.sampling.steps + 1


@pytest.mark.parametrize(
    ("name", "side"), [("faces-16-128", 128), ("faces-64-512", 512), ("imagenet-64-256", 256), ("faces-256-1024", 1024)]
)
def test_the_papers_networks_bottom_out_at_8_pixels(name, side):
    assert side / 2 ** (len(preset(name).network.multipliers) - 1) == 8
