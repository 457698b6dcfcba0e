"""Settings into objects: the only file that reads both. `match` and `assert_never`, no registry."""

from typing import TypeAlias, assert_never

import torch
from torch import Tensor

from sr3.config import Config, DataConfig, DenoiserConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from sr3.data.pairs import PairRecipe
from sr3.diffusion import schedule
from sr3.diffusion.denoiser import Denoise, Denoiser
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import SAMPLERS, Sampler
from sr3.networks.drcn import DRCN
from sr3.networks.enet import ENet
from sr3.networks.fsrcnn import FSRCNN
from sr3.networks.one_call import OneCallShape
from sr3.networks.rcan import RCAN
from sr3.networks.span import SPAN
from sr3.networks.unet import Family, UNet, UNetShape
from sr3.types import Grid, State

__all__ = [
    "Network",
    "build_denoiser",
    "build_gammas",
    "build_grid",
    "build_network",
    "build_recipe",
    "build_sampler",
    "count_parameters",
    "give_meaning",
    "most_first",
]


Network: TypeAlias = UNet | FSRCNN | DRCN | RCAN | ENet | SPAN
"""Every network there is."""


def build_network(config: NetworkConfig, *, image_channels: int, scale: int) -> Network:
    """Build the network, freshly initialised. scale: magnification, which a U-Net only asks for to place its guide."""
    match config.family:
        case "biggan" | "ddpm":
            return _build_unet(config, config.family, image_channels, scale)
        case "fsrcnn":
            return FSRCNN(_one_call_shape(config, image_channels, scale))
        case "drcn":
            return DRCN(_one_call_shape(config, image_channels, scale))
        case "rcan":
            return RCAN(_one_call_shape(config, image_channels, scale))
        case "enet":
            return ENet(_one_call_shape(config, image_channels, scale))
        case "span":
            return SPAN(_one_call_shape(config, image_channels, scale))
        case _:
            assert_never(config.family)


def _one_call_shape(config: NetworkConfig, image_channels: int, scale: int) -> OneCallShape:
    return OneCallShape(
        image_channels=image_channels,
        scale=scale,
        width=config.width,
        blocks=config.blocks,
        groups=config.groups,
        inner=config.inner,
    )


def _build_unet(config: NetworkConfig, family: Family, image_channels: int, scale: int) -> UNet:
    shape = UNetShape(
        family=family,
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
        guide=config.guide,
        guide_level=(scale // config.stem).bit_length() - 1 if config.guide else 0,
        checkpointing=config.checkpointing,
    )
    return UNet(shape)


def count_parameters(config: NetworkConfig, *, image_channels: int, scale: int) -> int:
    """Count the parameters of a network without making them."""
    with torch.device("meta"):
        network = build_network(config, image_channels=image_channels, scale=scale)
    return sum(parameter.numel() for parameter in network.parameters())


def build_denoiser(config: Config, *, image_channels: int) -> Denoiser[Network]:
    """Build the network, laid out for speed or as its family asks, and the meaning of its output."""
    network = build_network(config.network, image_channels=image_channels, scale=config.data.scale)
    denoiser = give_meaning(network, config.denoiser)
    if config.mean is not None:
        mean = build_network(config.mean.network, image_channels=image_channels, scale=config.data.scale)
        assert isinstance(mean, SPAN)
        denoiser.mean = mean.eval().requires_grad_(False)
    return denoiser.to(memory_format=_layout(config.network))  # pyright: ignore[reportCallIssue] (missing in torch's types)


def _layout(config: NetworkConfig) -> torch.memory_format:
    """Lay channels last, about twice as fast; `ddpm` first, as its weights were trained.

    In float32 the processor's kernels for channels last round about four times as coarsely, and converted weights
    are to give what they gave.
    """
    return torch.contiguous_format if config.family == "ddpm" else torch.channels_last


def give_meaning(network: Network, config: DenoiserConfig) -> Denoiser[Network]:
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
    most = most_first(config)
    if config.found is not None:
        return schedule.check_grid(torch.tensor(config.found.gammas, dtype=torch.float64), most=most)
    match config.grid:
        case "linear":
            return schedule.linear_grid(config.steps, gamma_first=config.gamma_first, most=most)
        case "cosine":
            return schedule.cosine_grid(config.steps, gamma_first=config.gamma_first, most=most)
        case "log_snr":
            return schedule.log_snr_grid(config.steps, gamma_first=config.gamma_first, most=most)
        case "karras":
            return schedule.karras_grid(config.steps, gamma_first=config.gamma_first, most=most)
        case _:
            assert_never(config.grid)


def most_first(config: SamplingConfig) -> float:
    """Give the cleanest level that sampling may start at: any below 1 where it starts with the mean."""
    return 1.0 if config.start == "mean" else schedule.MAX_FIRST_GAMMA


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


def build_sampler(config: SamplingConfig) -> Sampler[[Denoise, State, Grid, NoiseSource]]:
    """Take the sampler that the settings name, with their share of noise where it has one."""
    sampler = SAMPLERS[config.sampler]
    return sampler.with_eta(config.eta) if sampler.traits.noise == "eta" else sampler
