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
    "SamplerKind",
    "SamplingConfig",
    "ScheduleConfig",
    "SearchedGrid",
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
    condition: Literal["picture", "none"] = "picture"
    """What is seen beside the noisy picture: the enlarged input, or nothing (a generator)."""
    condition_level: bool = False
    """Tell the network how much noise `data.condition_gamma` put on the input (CDM, arXiv:2106.15282)."""
    classes: NonNegative = 0
    """Classes a picture may be labelled with; 0 for a model without classes."""
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
    objective: Literal["denoising", "regression"] = "denoising"
    """What is learnt: to denoise (SR3), or the best single answer to the input (the paper's baseline)."""


class DataConfig(_Settings):
    """How training pairs are made."""

    scale: Annotated[int, Field(ge=1, le=64)] = 4
    """Magnification; 1 for a generator, which enlarges nothing."""
    crop: NonNegative = 0
    """Side of the random high-resolution crop in pixels, a multiple of `scale`; 0 takes whole images. Of a generator:
    the side of its pictures."""
    augment: Literal["none", "flip", "dihedral"] = "flip"
    """Mirror left and right, or all eight turns and mirrors."""
    blur: Annotated[float, Field(ge=0)] = 0.0
    """Blur of the input in training, as in the paper's cascades: largest deviation of the Gaussian, in pixels of the
    input; drawn uniformly for every image. Its range is open in the paper."""
    condition_gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Noise on the input in training (CDM, arXiv:2106.15282): lowest level, drawn uniformly up to 1 for every image."""
    hide_class: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of images whose class is hidden in training, so that guidance is possible (arXiv:2207.12598)."""
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
    keep: Literal["last", "best-psnr"] = "last"
    """Which model the run leaves: the last (SR3), or that of the highest held-out PSNR (the regression baseline)."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Decay of the moving average of the weights, reached by a ramp. Open in the paper (Palette's value)."""
    validate_every: Positive = 10_000
    """Steps between validations."""
    validation_images: Positive = 8
    """Images held out of training for validation."""
    save_every: Positive = 1_000
    """Steps between checkpoints."""


SamplerKind = Literal[
    "ancestral",
    "ancestral-posterior",
    "ddim",
    "dpmpp-2m",
    "heun",
    "probability-flow",
    "predictor-corrector",
    "regression",
]


class SearchedGrid(_Settings):
    """Levels found on held-out images for a sampler and a number of steps (section 2.4)."""

    sampler: SamplerKind
    eta: float
    steps: Positive
    gammas: tuple[float, ...]
    """steps + 1 levels, rising to 1."""
    metric: str
    """What was made small."""
    score: float
    """What these levels reached."""
    before: float
    """What the model's own levels reached on the same images."""

    @model_validator(mode="after")
    def _one_level_more_than_steps(self) -> "SearchedGrid":
        if len(self.gammas) != self.steps + 1:
            raise ValueError(f"{self.steps} steps need {self.steps + 1} levels, got {len(self.gammas)}")
        return self


class SamplingConfig(_Settings):
    """How samples are drawn when the user does not say. The paper: Algorithm 2 in at most 100 steps."""

    sampler: SamplerKind = "ancestral"
    """ancestral: Algorithm 2; ancestral-posterior: variance of Eq. 4; ddim and dpmpp-2m: noise of `eta`; heun and
    probability-flow: 2 and 4 calls a step, no noise; predictor-corrector: 2 calls; regression: the baseline's one."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise that ddim and dpmpp-2m add, as a share of the posterior's deviation; 0 is deterministic."""
    steps: Annotated[int, Field(ge=1, le=4000)] = 100
    """Refinement steps, one network call each."""
    grid: Literal["linear", "cosine", "log_snr", "karras"] = "linear"
    """Family of the levels, where `searched` has none for the sampler and the steps."""
    gamma_first: Annotated[float, Field(gt=0, le=0.01)] = 4.4e-5
    """Level at which sampling starts; 4.4e-5 is where the linear training schedule ends."""
    clip: bool = True
    """Hold each predicted picture in [-1, 1]. Open in the paper."""
    correct: bool = True
    """Match the low frequencies of the result to the input, so that colours do not shift. Not in the paper."""
    guidance: Annotated[float, Field(ge=0)] = 0.0
    """Weight w of classifier-free guidance: (1 + w) times the estimate with the class, less w times that without."""
    condition_gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Level to which the input is noised before sampling, for networks that were trained so; 1 leaves it clean."""
    searched: tuple[SearchedGrid, ...] = ()
    """Levels found by `sr3 search-schedule`."""

    @model_validator(mode="after")
    def _regression_is_one_call(self) -> "SamplingConfig":
        if self.sampler == "regression" and self.steps != 1:
            raise ValueError(f"a regression model answers in 1 step, not {self.steps}, and always the same")
        return self


class Config(_Settings):
    """All settings of a model and its training."""

    network: NetworkConfig = NetworkConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    denoiser: DenoiserConfig = DenoiserConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _sampler_fits_objective(self) -> "Config":
        regresses = self.denoiser.objective == "regression"
        if regresses != (self.sampling.sampler == "regression"):
            raise ValueError(
                f"a model whose objective is {self.denoiser.objective} cannot be sampled by {self.sampling.sampler}"
            )
        if regresses and self.denoiser.prediction != "y0":
            raise ValueError("a regression model predicts y0: set denoiser.prediction to y0")
        return self

    @model_validator(mode="after")
    def _generator_is_whole(self) -> "Config":
        generates = self.network.condition == "none"
        if generates != (self.data.scale == 1):
            raise ValueError("a generator has network.condition none and data.scale 1; an upscaler has neither")
        if generates and not self.data.crop:
            raise ValueError("a generator needs the side of its pictures in data.crop")
        if generates and self.training.keep == "best-psnr":
            raise ValueError("a generator has no truth to be near to: set training.keep to last")
        if generates and (self.denoiser.target != "image" or self.denoiser.objective != "denoising"):
            raise ValueError("a generator has no input: set denoiser.target to image and objective to denoising")
        return self

    @model_validator(mode="after")
    def _condition_is_told(self) -> "Config":
        noised = min(self.data.condition_gamma, self.sampling.condition_gamma) < 1
        if noised and not self.network.condition_level:
            raise ValueError("condition_gamma below 1 needs network.condition_level, so that the network knows")
        if not self.network.classes and (self.data.hide_class or self.sampling.guidance):
            raise ValueError("hide_class and guidance need network.classes")
        if self.sampling.guidance and not self.data.hide_class:
            raise ValueError("guidance needs a model trained with data.hide_class above 0")
        return self

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
    named = f"{field}{shown}: " if field else ""
    return f"{named}{reason[0].lower()}{reason[1:]}{more}"


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
