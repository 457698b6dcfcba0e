"""The mean that a model refines: valid models, the settings that follow from one, and its output for a batch."""

from typing import cast

import torch
from torch import Tensor

from sr3.build import Network
from sr3.checkpoint import MEAN_PREFIX, ModelFile, ModelInfo
from sr3.config import BigGANConfig, Config, MeanConfig, SPANConfig
from sr3.data.loader import Batch
from sr3.diffusion.denoiser import Denoiser
from sr3.digest import digest_of_weights
from sr3.errors import CheckpointError, ConfigError, DataError
from sr3.images.enlarge import enlarge
from sr3.networks.span import SPAN, Mean
from sr3.presets import preset
from sr3.sampling.filling import part_weights
from sr3.sampling.mean_tiles import restored
from sr3.training.source_model import SourceModel, read_source_model

__all__ = ["check_mean", "mean_of", "read_mean", "refine_mean", "with_mean"]


def read_mean(model: str) -> SourceModel:
    """Find and read a model; CheckpointError when it cannot serve as a mean."""
    mean = read_source_model(model)
    network = mean.file.info.config.network
    if not isinstance(network, SPANConfig):
        raise CheckpointError(
            f"{model}: is of family {network.family}, but a mean predictor has family span; train one by sr3 train "
            "span-x4"
        )
    return mean


def mean_of(model: SourceModel) -> SourceModel | None:
    """Extract the mean predictor that a model has in its file, as a model of its own; None without one."""
    info = model.file.info
    if info.config.mean is None:
        return None
    base, own = preset("span-x4"), info.config.mean
    data = base.data.model_copy(update={"scale": info.config.data.scale})
    config = base.model_copy(update={"network": own.network, "data": data})
    weights = part_weights(model.file, MEAN_PREFIX)
    about = ModelInfo(name=own.name, image_channels=info.image_channels, step=0, config=config)
    return SourceModel(ModelFile(about, weights), digest_of_weights(weights))


def refine_mean(config: Config, mean: SourceModel) -> Config:
    """Change settings so that a model refines a mean.

    The output of the mean becomes the conditional input x, and its features are inputs of the U-Net at the level of
    their resolution. Training crops grow by the margin that only the mean receives, so the crop of the network keeps
    its size. Raises ConfigError when the scales differ.
    """
    theirs = mean.file.info.config
    assert isinstance(theirs.network, SPANConfig)
    if theirs.data.scale != config.data.scale:
        raise ConfigError(
            f"--mean: {mean.file.info.name} has scale {theirs.data.scale}, but the run has scale {config.data.scale}; "
            "give a mean predictor of the same scale"
        )
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


def check_mean(config: Config, mean: SourceModel | None, *, image_channels: int) -> None:
    """Raise ConfigError or DataError when the settings or the images of a run do not match a mean."""
    expected = config.mean
    if expected is None:
        return
    if mean is None or mean.digest != expected.digest:
        found = "none was given" if mean is None else f"{mean.file.info.name} has other weights"
        raise ConfigError(
            f"mean.name = {expected.name}: the run refines this mean predictor, but {found}; give it by --mean"
        )
    if mean.file.info.image_channels != image_channels:
        raise DataError(
            f"the images have {image_channels} channels, but the mean predictor {expected.name} takes "
            f"{mean.file.info.image_channels}; give images with that number of channels"
        )


def with_mean(denoiser: Denoiser[Network], config: Config, batch: Batch) -> tuple[Batch, Mean | None]:
    """Compute the mean of a batch and crop both by the margin; the mean becomes x if the settings say so.

    Of a model with a restoration network all is computed of the cleaned input, with nothing known beyond the crop.
    """
    if denoiser.restoration is not None:
        low_res = restored(denoiser.restoration, batch.low_res, strength=1.0)
        batch = batch._replace(low_res=low_res, x=enlarge(low_res, config.data.scale, config.data.enlarged))
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
