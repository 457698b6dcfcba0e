"""Objects built from settings: the only file that reads both. `match` and `assert_never`, no registry."""

from collections.abc import Iterable
from typing import TypeAlias, assert_never

import torch
from torch import Tensor

from sr3.config import (
    BigGANConfig,
    Config,
    DDPMConfig,
    DenoiserConfig,
    DRCNConfig,
    ENetConfig,
    FSRCNNConfig,
    NetworkConfig,
    OptimizerConfig,
    RCANConfig,
    SamplingConfig,
    ScheduleConfig,
    SPANConfig,
)
from sr3.data.pairs import PairRecipe
from sr3.diffusion import schedule
from sr3.diffusion.denoiser import Denoise, Denoiser
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import SAMPLERS, Sampler
from sr3.networks.drcn import DRCN
from sr3.networks.enet import ENet
from sr3.networks.fsrcnn import FSRCNN
from sr3.networks.rcan import RCAN
from sr3.networks.span import SPAN
from sr3.networks.strength import StrengthNetwork
from sr3.networks.unet import UNet
from sr3.types import Grid, State

__all__ = [
    "Network",
    "build_denoiser",
    "build_gammas",
    "build_grid",
    "build_network",
    "build_optimizer",
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
    match config:
        case BigGANConfig() | DDPMConfig():
            return UNet(config, image_channels=image_channels, scale=scale)
        case FSRCNNConfig():
            return FSRCNN(config, image_channels=image_channels, scale=scale)
        case DRCNConfig():
            return DRCN(config, image_channels=image_channels, scale=scale)
        case RCANConfig():
            return RCAN(config, image_channels=image_channels, scale=scale)
        case ENetConfig():
            return ENet(config, image_channels=image_channels, scale=scale)
        case SPANConfig():
            return SPAN(config, image_channels=image_channels, scale=scale)
        case _:
            assert_never(config)


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
    if (before := config.restoration) is not None:
        network = build_network(before.network, image_channels=image_channels, scale=1)
        denoiser.restoration = give_meaning(network, before.denoiser).eval().requires_grad_(False)
        if before.strength_width is not None:
            strength = StrengthNetwork(before.strength_width, image_channels=image_channels)
            denoiser.strength = strength.eval().requires_grad_(False)
    return denoiser.to(memory_format=_layout(config.network))  # pyright: ignore[reportCallIssue] (missing in torch's types)


def _layout(config: NetworkConfig) -> torch.memory_format:
    """Lay channels last, about twice as fast; `ddpm` first, as its weights were trained.

    In float32 the processor's kernels for channels last round about four times as coarsely, and converted weights
    are to give what they gave.
    """
    return torch.contiguous_format if config.family == "ddpm" else torch.channels_last


def give_meaning(network: Network, config: DenoiserConfig) -> Denoiser[Network]:
    """Describe what a network's output means."""
    return Denoiser(network, prediction=config.prediction, target=config.target, target_scale=config.target_scale)


def build_gammas(config: ScheduleConfig) -> Tensor:
    """Create the training levels, falling, shape (T,)."""
    match config.kind:
        case "linear":
            return schedule.linear_gammas(config.num_levels, config.beta_first, config.beta_last)
        case "cosine":
            return schedule.cosine_gammas(config.num_levels)
        case _:
            assert_never(config.kind)


def build_grid(config: SamplingConfig) -> Grid:
    """Create the sampling levels, rising to 1, shape (steps + 1,): searched ones where there are."""
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
    """Return the cleanest level that sampling may start at: any below 1 where it starts with the mean."""
    return 1.0 if config.start == "mean" else schedule.MAX_FIRST_GAMMA


def build_recipe(config: Config) -> PairRecipe:
    """Say how training pairs are made."""
    network = config.network
    return PairRecipe(config.data, network.classes, network.condition != "none", network.condition_channels)


def build_optimizer(parameters: Iterable[Tensor], config: OptimizerConfig) -> torch.optim.Adam:
    """Build Adam with the settings' moments; the loop sets the rate before every step."""
    betas = (config.beta1, config.beta2)
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=betas, fused=True)


def build_sampler(config: SamplingConfig) -> Sampler[[Denoise, State, Grid, NoiseSource]]:
    """Take the sampler that the settings name, with their share of noise where it has one."""
    sampler = SAMPLERS[config.sampler]
    return sampler.with_eta(config.eta) if sampler.traits.noise == "eta" else sampler
