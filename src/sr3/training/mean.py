"""The mean that a run's model refines: which models can serve, the settings that follow, and its part in a batch."""

from typing import cast

import torch
from torch import Tensor

from sr3.build import Network
from sr3.config import BigGANConfig, Config, MeanConfig, SPANConfig
from sr3.data.loader import Batch
from sr3.diffusion.denoiser import Denoiser
from sr3.errors import CheckpointError, ConfigError, DataError
from sr3.networks.span import SPAN, Mean
from sr3.training.origin import Origin, read_origin

__all__ = ["check_mean", "read_mean", "refine_mean", "with_mean"]


def read_mean(model: str) -> Origin:
    """Find and read a model; CheckpointError when it cannot be the mean of another."""
    mean = read_origin(model)
    network = mean.file.info.config.network
    if not isinstance(network, SPANConfig):
        raise CheckpointError(
            f"{model}: is of family {network.family}; a mean is a regression of family span (sr3 train span-x4)"
        )
    return mean


def refine_mean(config: Config, mean: Origin) -> Config:
    """Let a model refine a mean: its picture is x, its features enter the U-Net where a level has their resolution.

    Training crops grow by the margin that only the mean sees, so the network's part of them stays. Raises ConfigError
    where the two do not belong together.
    """
    theirs = mean.file.info.config
    assert isinstance(theirs.network, SPANConfig)
    if theirs.data.scale != config.data.scale:
        raise ConfigError(f"--mean: {mean.file.info.name} enlarges {theirs.data.scale} times, not {config.data.scale}")
    section = MeanConfig(name=mean.file.info.name, digest=mean.digest, network=theirs.network)
    network, data = config.network, config.data
    if isinstance(network, BigGANConfig):
        levels = [network.stem * 2**level for level in range(len(network.multipliers))]
        guide = section.network.width if data.scale in levels else 0
        network = network.model_copy(update={"guide": guide})
    crop = data.crop + 2 * section.margin * data.scale if data.crop else 0
    return config.model_copy(
        update={
            "mean": section,
            "network": network,
            "data": data.model_copy(update={"crop": crop}),
        }
    )


def check_mean(config: Config, mean: Origin | None, *, image_channels: int) -> None:
    """Raise ConfigError or DataError when a run of these settings and pictures does not have this mean."""
    wanted = config.mean
    if wanted is None:
        return
    if mean is None or mean.digest != wanted.digest:
        found = "none is given" if mean is None else f"{mean.file.info.name} is another, or its weights have changed"
        raise ConfigError(f"mean.name = {wanted.name}: the run refines this mean, and {found}; give it by --mean")
    if mean.file.info.image_channels != image_channels:
        raise DataError(
            f"the pictures have {image_channels} channels, but the mean {wanted.name} takes "
            f"{mean.file.info.image_channels}; give pictures of its kind"
        )


def with_mean(denoiser: Denoiser[Network], config: Config, batch: Batch) -> tuple[Batch, Mean | None]:
    """Compute the mean of a batch, cut both to what lies inside the margin, and show it as x where the settings say."""
    if config.mean is None:
        return batch, None
    margin, scale = config.mean.margin, config.data.scale
    with torch.no_grad():
        found = cast(SPAN, denoiser.mean).mean(batch.low_res)

    def inside(image: Tensor, factor: int) -> Tensor:
        cut = margin * factor
        return image[..., cut : image.shape[-2] - cut, cut : image.shape[-1] - cut]

    mean = Mean(inside(found.picture, scale), inside(found.features, 1))
    x = mean.picture if config.mean.condition == "mean" else inside(batch.x, scale)
    return batch._replace(y0=inside(batch.y0, scale), x=x, low_res=inside(batch.low_res, 1)), mean
