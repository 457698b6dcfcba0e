"""Presets: named settings. Each docstring gives the source of its numbers, or says that we measured them.

Loads no torch.
"""

from collections.abc import Callable
from typing import TypeAlias

from sr3.config import Config, OptimizerConfig, RegressionConfig, SamplingConfig
from sr3.errors import ConfigError
from sr3.presets import baselines, paper, small

__all__ = ["PRESETS", "REGRESSION", "is_preset", "preset", "regression_of"]

Preset: TypeAlias = Callable[[], Config]

PRESETS: dict[str, Preset] = {
    "photos-x4": small.photos_x4,
    "faces-16-128": paper.faces_16_128,
    "faces-64-512": paper.faces_64_512,
    "imagenet-64-256": paper.imagenet_64_256,
    "faces-256-1024": paper.faces_256_1024,
    "faces-64": paper.faces_64,
    "imagenet-64": paper.imagenet_64,
    "faces-16-128-small": small.faces_16_128_small,
    "faces-64-512-small": small.faces_64_512_small,
    "imagenet-64-256-small": small.imagenet_64_256_small,
    "faces-256-1024-small": small.faces_256_1024_small,
    "faces-64-small": small.faces_64_small,
    "imagenet-64-small": small.imagenet_64_small,
    "tiny-x4": small.tiny_x4,
    "fsrcnn-x4": baselines.fsrcnn_x4,
    "drcn-x4": baselines.drcn_x4,
    "rcan-x4": baselines.rcan_x4,
    "enet-x4": baselines.enet_x4,
    "enet-pat-x4": baselines.enet_pat_x4,
    "span-x4": baselines.span_x4,
    "fsrcnn-x4-small": baselines.fsrcnn_x4_small,
    "drcn-x4-small": baselines.drcn_x4_small,
    "rcan-x4-small": baselines.rcan_x4_small,
    "enet-x4-small": baselines.enet_x4_small,
    "enet-pat-x4-small": baselines.enet_pat_x4_small,
    "span-x4-small": baselines.span_x4_small,
}

REGRESSION = "-regression"
"""Suffix of a preset's name that selects the regression baseline with the same network."""


def is_preset(name: str) -> bool:
    """Return whether a name is that of a preset."""
    return name.removesuffix(REGRESSION) in PRESETS


def preset(name: str) -> Config:
    """Return the settings of a preset; ConfigError lists the names if there is none of this name."""
    base = name.removesuffix(REGRESSION)
    if not is_preset(name):
        raise ConfigError(
            f"{name}: no preset has this name; the presets are {', '.join(PRESETS)}, and NAME{REGRESSION} of each that "
            "upscales with a U-Net; or give a .toml file"
        )
    config = PRESETS[base]()
    if base == name:
        return config
    if config.network.condition == "none":
        raise ConfigError(
            f"{name}: {base} generates images without an input, so it has no regression baseline; give another preset"
        )
    if config.network.answers_in_one_call:
        raise ConfigError(f"{name}: {base} is a regression already; give {base}")
    return regression_of(config)


def regression_of(config: Config) -> Config:
    """Return the paper's regression baseline (section 3): the same network, one call, MSE, the weights of best PSNR.

    The learning rate is the paper's 1e-5 if the model has the paper's 1e-4, else that of the model.
    """
    paper = config.optimizer.learning_rate == OptimizerConfig().learning_rate
    corrected = config.sampling.model_dump(include={"correct"}, exclude_unset=True)
    rate = 1e-5 if paper else config.optimizer.learning_rate
    return config.model_copy(
        update={
            "denoiser": config.denoiser.model_copy(update={"prediction": "y0"}),
            "objective": RegressionConfig(),
            "optimizer": config.optimizer.model_copy(update={"learning_rate": rate}),
            "training": config.training.model_copy(update={"keep": "best-psnr"}),
            "sampling": SamplingConfig.model_validate(
                {**corrected, "sampler": "regression", "steps": 1, "grid": "cosine"}
            ),
        }
    )
