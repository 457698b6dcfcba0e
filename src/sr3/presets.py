"""Named settings. Each docstring gives the source of its numbers, or says that we measured them.

Loads no torch.
"""

from collections.abc import Callable
from typing import TypeAlias

from sr3.config import (
    Config,
    DataConfig,
    DenoiserConfig,
    NetworkConfig,
    OptimizerConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainingConfig,
)
from sr3.errors import ConfigError

__all__ = ["PRESETS", "faces_16_128", "photos_x4", "preset", "tiny_x4"]

Preset: TypeAlias = Callable[[], Config]


def faces_16_128() -> Config:
    """Give the paper's faces 16 -> 128: Table A.1 (550M parameters, dropout 0.2), 1M steps of batch 256, Adam 1e-4.

    Open in the paper and chosen here: attention at the level of side 16 (the level that brings the parameters to
    553M), embedding as wide as the network, training betas 1e-6 .. 1e-2 (Palette), EMA 0.9999 (Palette).
    Sampling is Algorithm 2 alone: no clipping, no correction of low frequencies; the paper mentions neither.
    """
    return Config(
        network=NetworkConfig(
            width=128, multipliers=(1, 2, 4, 8, 8), blocks=3, attention=(3,), features=128, dropout=0.2
        ),
        data=DataConfig(scale=8, augment="flip"),
        sampling=SamplingConfig(clip=False, correct=False),
    )


def photos_x4() -> Config:
    """Give the packaged model for natural photographs, fourfold, sized for two processor cores.

    Beside the paper: a patch stem of 2, v-prediction of the residual times 4, cosine levels, 8.5M parameters.
    What it reaches is measured in its model card, `src/sr3/weights/photos-x4.md`.
    """
    return Config(
        network=NetworkConfig(width=48, multipliers=(1, 2, 4), blocks=2, features=96, stem=2),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=4.0),
        data=DataConfig(scale=4, crop=64, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup=300, cooldown=1800),
        training=TrainingConfig(
            steps=6_600,
            batch=16,
            precision="bfloat16",
            ema_decay=0.999,
            validate_every=2_000,
            validation_images=6,
            save_every=250,
        ),
        sampling=SamplingConfig(sampler="ancestral-posterior", steps=32, grid="cosine"),
    )


def tiny_x4() -> Config:
    """Give a network of 0.18M parameters that trains in a minute: for trying the commands out, not for pictures."""
    return Config(
        network=NetworkConfig(width=16, multipliers=(1, 2), blocks=1, features=32, stem=2),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=4.0),
        data=DataConfig(scale=4, crop=32, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=20),
        training=TrainingConfig(
            steps=200, batch=8, ema_decay=0.99, validate_every=100, validation_images=2, save_every=100
        ),
        sampling=SamplingConfig(sampler="ddim", steps=8, grid="cosine"),
    )


PRESETS: dict[str, Preset] = {"photos-x4": photos_x4, "faces-16-128": faces_16_128, "tiny-x4": tiny_x4}


def preset(name: str) -> Config:
    """Return the settings of a name; ConfigError lists the names there are."""
    if name not in PRESETS:
        raise ConfigError(f"{name}: no preset has this name; there are {', '.join(PRESETS)}, or give a .toml file")
    return PRESETS[name]()
