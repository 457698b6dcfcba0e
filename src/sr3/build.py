"""Settings into objects: the only file that reads both. `match` and `assert_never`, no registry."""

from collections.abc import Iterator
from typing import assert_never

import torch
from torch import Tensor

from sr3.config import Config, DataConfig, DenoiserConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from sr3.data.pairs import PairRecipe
from sr3.diffusion import samplers, schedule
from sr3.diffusion.denoiser import Denoise, Denoiser
from sr3.diffusion.noise import NoiseSource
from sr3.networks.unet import UNet, UNetShape
from sr3.types import Grid, Image

__all__ = [
    "build_denoiser",
    "build_gammas",
    "build_grid",
    "build_network",
    "build_recipe",
    "count_parameters",
    "give_meaning",
    "run_sampler",
]


def build_network(config: NetworkConfig, *, image_channels: int) -> UNet:
    """Build the U-Net, freshly initialised."""
    shape = UNetShape(
        family=config.family,
        image_channels=image_channels,
        width=config.width,
        multipliers=config.multipliers,
        blocks=config.blocks,
        attention=config.attention,
        head_width=config.head_width,
        groups=config.groups,
        features=config.features,
        dropout=config.dropout,
        stem=config.stem,
        condition=config.condition,
        condition_level=config.condition_level,
        classes=config.classes,
        checkpointing=config.checkpointing,
    )
    return UNet(shape)


def count_parameters(config: NetworkConfig, *, image_channels: int) -> int:
    """Count the parameters of a network without making them."""
    with torch.device("meta"):
        network = build_network(config, image_channels=image_channels)
    return sum(parameter.numel() for parameter in network.parameters())


def build_denoiser(config: Config, *, image_channels: int) -> Denoiser[UNet]:
    """Build the network, laid out for speed or as its family asks, and the meaning of its output."""
    network = build_network(config.network, image_channels=image_channels)
    return give_meaning(network, config.denoiser).to(memory_format=_layout(config.network))  # pyright: ignore[reportCallIssue] (missing in torch's types)


def _layout(config: NetworkConfig) -> torch.memory_format:
    """Lay channels last, about twice as fast; `ddpm` first, as its weights were trained.

    In float32 the processor's kernels for channels last round about four times as coarsely, and converted weights
    are to give what they gave.
    """
    return torch.channels_last if config.family == "biggan" else torch.contiguous_format


def give_meaning(network: UNet, config: DenoiserConfig) -> Denoiser[UNet]:
    """Say what a network's output means."""
    return Denoiser(network, prediction=config.prediction, target=config.target, target_scale=config.target_scale)


def build_gammas(config: ScheduleConfig) -> Tensor:
    """Make the training levels, falling, shape (T,)."""
    match config.kind:
        case "linear":
            return schedule.linear_gammas(config.num_levels, config.beta_first, config.beta_last)
        case "cosine":
            return schedule.cosine_gammas(config.num_levels)
        case _:
            assert_never(config.kind)


def build_grid(config: SamplingConfig) -> Grid:
    """Make the sampling levels, rising to 1, shape (steps + 1,): searched ones where there are."""
    for found in config.searched:
        if (found.sampler, found.eta, found.steps) == (config.sampler, config.eta, config.steps):
            return schedule.check_grid(torch.tensor(found.gammas, dtype=torch.float64))
    match config.grid:
        case "linear":
            return schedule.linear_grid(config.steps, gamma_first=config.gamma_first)
        case "cosine":
            return schedule.cosine_grid(config.steps, gamma_first=config.gamma_first)
        case "log_snr":
            return schedule.log_snr_grid(config.steps, gamma_first=config.gamma_first)
        case "karras":
            return schedule.karras_grid(config.steps, gamma_first=config.gamma_first)
        case _:
            assert_never(config.grid)


def build_recipe(config: DataConfig, *, classes: int = 0) -> PairRecipe:
    """Say how training pairs are made; classes above 0 asks for labels."""
    return PairRecipe(
        config.scale,
        config.crop,
        config.augment,
        config.cache_gib,
        config.blur,
        config.condition_gamma,
        classes,
        config.degradation,
        config.enlarged,
    )


def run_sampler(
    config: SamplingConfig, denoise: Denoise, y: Image, grid: Grid, noise: NoiseSource
) -> Iterator[samplers.Step]:
    """Start the sampler that the settings name, from pure noise y; GridError for a grid that does not start there."""
    schedule.check_grid(grid)
    match config.sampler:
        case "ancestral":
            return samplers.ancestral(denoise, y, grid, noise)
        case "ancestral-posterior":
            return samplers.ancestral(denoise, y, grid, noise, variance="posterior")
        case "ddim" | "distilled":
            return samplers.ddim(denoise, y, grid, noise, eta=config.eta)
        case "dpmpp-2m":
            return samplers.dpmpp_2m(denoise, y, grid, noise, eta=config.eta)
        case "heun":
            return samplers.heun(denoise, y, grid)
        case "probability-flow":
            return samplers.probability_flow(denoise, y, grid)
        case "predictor-corrector":
            return samplers.predictor_corrector(denoise, y, grid, noise)
        case "regression":
            return samplers.one_call(denoise, y)
        case _:
            assert_never(config.sampler)
