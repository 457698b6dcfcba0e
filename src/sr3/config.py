"""Every setting, with its unit, range and default: one strict tree that is saved inside every checkpoint.

Defaults are the paper's (SR3, arXiv:2104.07636) wherever it gives one; where it does not, the field says so.
The file loads no torch, so that help and errors come at once. It knows nothing of files or networks.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sr3.errors import ConfigError

__all__ = [
    "Config",
    "DataConfig",
    "DenoiserConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "TrainingConfig",
    "apply_settings",
    "read_toml",
]

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class NetworkConfig(_Settings):
    """The U-Net (section 2.4, Table A.1)."""

    width: Annotated[int, Field(ge=8, multiple_of=4)] = 128
    """Channels of the finest level."""
    multipliers: tuple[Positive, ...] = (1, 2, 4, 8, 8)
    """Width of each level as a multiple of `width`, fine to coarse."""
    blocks: Positive = 3
    """Residual blocks a level."""
    attention: tuple[NonNegative, ...] = ()
    """Levels that attend, 0 the finest. Open in the paper."""
    head_width: Positive = 64
    """Channels of an attention head. Open in the paper."""
    features: Annotated[int, Field(ge=4)] = 512
    """Width of the noise-level embedding. Open in the paper; DDPM takes four times `width`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of features dropped in training."""
    stem: Literal[1, 2, 4] = 1
    """Side of the pixel blocks folded into channels; 1 is the paper's."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    @model_validator(mode="after")
    def _levels_exist(self) -> "NetworkConfig":
        if not self.multipliers:
            raise ValueError("multipliers must name at least one level")
        beyond = [level for level in self.attention if level >= len(self.multipliers)]
        if beyond:
            raise ValueError(f"attention names level {beyond[0]}, but the levels are 0 to {len(self.multipliers) - 1}")
        bottom = len(self.multipliers) - 1
        for level in {*self.attention, bottom} if self.attention else ():
            channels = self.width * self.multipliers[level]
            if channels > self.head_width and channels % self.head_width:
                raise ValueError(
                    f"head_width {self.head_width} does not divide the {channels} channels of level {level}"
                )
        return self


class ScheduleConfig(_Settings):
    """The levels seen in training and how they are drawn (section 2.4). Betas are open in the paper."""

    kind: Literal["linear", "cosine"] = "linear"
    """Shape of the betas."""
    num_levels: Annotated[int, Field(ge=2)] = 2000
    """T, the number of segments of p(gamma)."""
    beta_first: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """First beta of the linear schedule (Palette, arXiv:2111.05826)."""
    beta_last: Annotated[float, Field(gt=0, lt=1)] = 1e-2
    """Last beta of the linear schedule (same source)."""
    draw: Literal["gamma", "sqrt_gamma"] = "gamma"
    """Where p(gamma) is uniform inside a segment: gamma by the formula, sqrt_gamma by WaveGrad's code."""


class DenoiserConfig(_Settings):
    """What the network's output means, and the loss on it (Eq. 6)."""

    prediction: Literal["eps", "v", "y0"] = "eps"
    """What the network estimates."""
    target: Literal["image", "residual"] = "image"
    """Whether the process runs on the picture or on its difference to the upsampled input."""
    target_scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the target, so that its spread is near 1."""
    loss: Literal["l1", "l2"] = "l2"
    """p of Eq. 6. L1 gives less diverse samples (arXiv:2111.05826)."""


class DataConfig(_Settings):
    """How training pairs are made."""

    scale: Annotated[int, Field(ge=2, le=64)] = 4
    """Magnification."""
    crop: NonNegative = 0
    """Side of the random high-resolution crop in pixels, a multiple of `scale`; 0 takes whole images."""
    augment: Literal["none", "flip", "dihedral"] = "flip"
    """Mirror left and right, or all eight turns and mirrors."""
    cache_gib: Annotated[float, Field(ge=0)] = 2.0
    """Decoded images kept in memory, GiB."""

    @model_validator(mode="after")
    def _crop_fits_scale(self) -> "DataConfig":
        if self.crop % self.scale:
            raise ValueError(f"crop {self.crop} is not a multiple of scale {self.scale}")
        return self


class OptimizerConfig(_Settings):
    """Adam with linear warm-up (section 2.2, appendix B)."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Rate after warm-up."""
    warmup: NonNegative = 10_000
    """Steps of linear warm-up."""
    cooldown: NonNegative = 0
    """Steps at the end in which the rate falls linearly to 0; 0, the paper's, keeps it constant."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of Adam's first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of Adam's second moment."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient. Open in the paper."""


class TrainingConfig(_Settings):
    """Length, batch and bookkeeping of a run."""

    steps: Positive = 1_000_000
    """Optimiser steps."""
    batch: Positive = 256
    """Images a step."""
    seed: NonNegative = 0
    """Seed of everything random in the run."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's arithmetic; weights and EMA stay float32."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Decay of the moving average of the weights, reached by a ramp. Open in the paper (Palette's value)."""
    validate_every: Positive = 10_000
    """Steps between validations."""
    validation_images: Positive = 8
    """Images held out of training for validation."""
    save_every: Positive = 1_000
    """Steps between checkpoints."""


class SamplingConfig(_Settings):
    """How samples are drawn when the user does not say. The paper: Algorithm 2 in at most 100 steps."""

    sampler: Literal["ancestral", "ancestral-posterior", "ddim", "dpmpp-2m"] = "ancestral"
    """ancestral: Algorithm 2; ancestral-posterior: variance of Eq. 4; ddim and dpmpp-2m: noise of `eta`."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise that ddim and dpmpp-2m add, as a share of the posterior's deviation; 0 is deterministic."""
    steps: Annotated[int, Field(ge=1, le=4000)] = 100
    """Refinement steps, one network call each."""
    grid: Literal["linear", "cosine", "log_snr"] = "linear"
    """Family of the levels."""
    gamma_first: Annotated[float, Field(gt=0, le=0.01)] = 4.4e-5
    """Level at which sampling starts; 4.4e-5 is where the linear training schedule ends."""
    clip: bool = True
    """Hold each predicted picture in [-1, 1]. Open in the paper."""
    correct: bool = True
    """Match the low frequencies of the result to the input, so that colours do not shift. Not in the paper."""


class Config(_Settings):
    """All settings of a model and its training."""

    network: NetworkConfig = NetworkConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    denoiser: DenoiserConfig = DenoiserConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()

    @staticmethod
    def parse(tree: Mapping[str, Any], *, where: str) -> "Config":
        """Check a tree of settings; ConfigError names the field, the value and the reason."""
        try:
            return Config.model_validate_json(json.dumps(tree, default=str), strict=True)
        except ValidationError as error:
            raise ConfigError(f"{where}: {_first_complaint(error)}") from error


def _first_complaint(error: ValidationError) -> str:
    details = error.errors(include_url=False)
    first = details[0]
    field = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"there is no setting {field}; check the spelling{more}"
    reason = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    shown = "" if isinstance(value, dict) else f" = {json.dumps(value)}"
    return f"{field}{shown}: {reason[0].lower()}{reason[1:]}{more}"


def read_toml(text: str, *, where: str) -> Config:
    """Read a TOML text into settings; what is not named keeps its default."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    return Config.parse(tree, where=where)


def apply_settings(config: Config, settings: Sequence[str]) -> Config:
    """Apply `a.b=value` settings over a tree; a value is TOML, or a bare word."""
    tree = config.model_dump(mode="json")
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write it as section.name=value")
        *parents, name = path.strip().split(".")
        branch = tree
        for parent in parents:
            branch = branch.get(parent)
            if not isinstance(branch, dict):
                raise ConfigError(f"--set {setting}: there is no section {parent}; the sections are {', '.join(tree)}")
            branch = cast(dict[str, Any], branch)
        branch[name] = _toml_value(text.strip())
    return Config.parse(tree, where="--set")


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
