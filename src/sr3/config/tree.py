"""The complete tree of settings, and the consistency checks between its sections."""

import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError, model_validator

from sr3.config.adversary import AdversaryConfig
from sr3.config.diffusion import DenoiserConfig, ScheduleConfig
from sr3.config.error_message import first_error
from sr3.config.mean import MeanConfig
from sr3.config.network import BigGANConfig, NetworkConfig
from sr3.config.objective import SHARED, DenoisingConfig, DistillationConfig, ObjectiveConfig, RegressionConfig
from sr3.config.restoration import RestorationConfig
from sr3.config.sampling import SamplingConfig
from sr3.config.strict import Settings
from sr3.config.training import DataConfig, OptimizerConfig, TrainingConfig
from sr3.errors import ConfigError

__all__ = ["Config"]


_OWN_SAMPLER = {"regression": "regression", "distillation": "distilled"}
"""The only sampler of each objective that has just one."""
_LEAST_FLAT = 24
"""Side of the smallest images in which flat areas are detected, in windows of 17 pixels."""


class Config(Settings):
    """All settings of a model and its training."""

    network: NetworkConfig = BigGANConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    denoiser: DenoiserConfig = DenoiserConfig()
    objective: ObjectiveConfig = DenoisingConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    mean: MeanConfig | None = None
    """Mean predictor of models that refine its output; written by --mean."""
    restoration: RestorationConfig | None = None
    """Restoration network of models that clean their input first; written by sr3 join."""

    @property
    def adversary(self) -> AdversaryConfig | None:
        """The perceptual and adversarial losses; None if the objective has none."""
        if isinstance(self.objective, RegressionConfig | DistillationConfig):
            return self.objective.adversary
        return None

    @property
    def distillation(self) -> DistillationConfig | None:
        """The distillation of a distilled model; None for other models."""
        return self.objective if isinstance(self.objective, DistillationConfig) else None

    @model_validator(mode="after")
    def _sampler_fits_objective(self) -> "Config":
        objective, sampler = self.objective.kind, self.sampling.sampler
        own = _OWN_SAMPLER.get(objective)
        if (own is not None and sampler != own) or (own is None and sampler in _OWN_SAMPLER.values()):
            raise ValueError(
                f"a model whose objective is {objective} cannot be sampled by {sampler}; set sampling.sampler to "
                f"{own or 'another, such as ancestral'}"
            )
        if objective == "regression" and self.denoiser.prediction != "y0":
            raise ValueError("a regression model predicts y0: set denoiser.prediction to y0")
        return self

    @model_validator(mode="after")
    def _steps_match_distillation(self) -> "Config":
        distilled, sampling = self.distillation, self.sampling
        if distilled is None:
            return self
        if self.denoiser.prediction == "eps":
            raise ValueError(
                "eps predicted at the first level does not determine the image: distil a model that predicts v or y0"
            )
        for name in SHARED:
            given, learned = getattr(sampling, name), getattr(distilled, name)
            if given != learned:
                raise ValueError(
                    f"a distilled model is sampled with the {name} it was trained with, {learned}, not {given}; use "
                    f"its teacher, {distilled.teacher}, or distil again"
                )
        if sampling.searched:
            raise ValueError(
                "a distilled model has fixed levels, which cannot be searched; leave sampling.searched empty"
            )
        return self

    @model_validator(mode="after")
    def _one_call_fits(self) -> "Config":
        network = self.network
        if network.answers_in_one_call and self.objective.kind != "regression":
            raise ValueError(
                f"family {network.family} predicts in one call: set objective.kind and sampling.sampler to "
                "regression, denoiser.prediction to y0 and sampling.steps to 1"
            )
        if network.sees_low_res and (self.data.blur or self.data.enlarged != "full"):
            raise ValueError(
                f"family {network.family} receives the input before upsampling, where data.blur and data.enlarged "
                "have no effect; leave them out"
            )
        supervised = isinstance(self.objective, RegressionConfig) and self.objective.supervision > 0
        if supervised and network.family != "drcn":
            raise ValueError("objective.supervision is for network.family drcn, which predicts after every recursion")
        return self

    @model_validator(mode="after")
    def _mean_fits(self) -> "Config":
        mean, network = self.mean, self.network
        teaches = self.distillation is not None and self.distillation.adversary.pixel > 0
        if mean is not None and mean.condition == "mean" and teaches:
            raise ValueError(
                "mean.condition mean: the teacher has no mean predictor to be conditioned on; set mean.condition to "
                "enlarged, or set objective.adversary.pixel to 0 to train without the teacher"
            )
        if mean is None:
            if network.guide:
                raise ValueError(
                    "network.guide takes features of a mean predictor, and the model has none; give --mean MODEL"
                )
            if self.sampling.start == "mean":
                raise ValueError("sampling.start mean: the model has no mean predictor; leave sampling.start at noise")
            if self.sampling.flat_detail < 1:
                raise ValueError(
                    "sampling.flat_detail: the model has no mean predictor; leave sampling.flat_detail at 1"
                )
            return self
        if network.answers_in_one_call or network.condition == "none" or network.condition_level:
            raise ValueError(
                "a mean predictor is for U-Nets conditioned on an image without added noise; leave --mean out"
            )
        if self.data.blur or self.data.enlarged != "full":
            raise ValueError(
                "a mean predictor receives the input before upsampling, where data.blur and data.enlarged have no "
                "effect; leave them out"
            )
        if network.guide not in (0, mean.network.width):
            raise ValueError(f"network.guide must be 0 or the width of the mean predictor, {mean.network.width}")
        if self.data.crop and self.data.crop <= 2 * mean.margin * self.data.scale:
            raise ValueError(
                f"data.crop {self.data.crop} consists of margin only; set it above "
                f"{2 * mean.margin * self.data.scale}, or lower mean.margin"
            )
        return self

    @model_validator(mode="after")
    def _guide_has_a_level(self) -> "Config":
        network, scale = self.network, self.data.scale
        if not isinstance(network, BigGANConfig):
            return self
        sides = [network.stem * 2**level for level in range(len(network.multipliers))]
        if network.guide and scale not in sides:
            raise ValueError(
                f"network.guide: no level of the U-Net has the resolution of the input at scale {scale}; the levels "
                f"are {', '.join(map(str, sides))} times smaller than the result"
            )
        return self

    @model_validator(mode="after")
    def _adversary_fits(self) -> "Config":
        adversary = self.adversary
        if adversary is None:
            return self
        if (adversary.flat or adversary.grain) and 0 < self.data.crop < _LEAST_FLAT:
            raise ValueError(f"objective.adversary.flat and grain use windows: set data.crop to {_LEAST_FLAT} or more")
        least = 2**adversary.downsamplings
        own_network = adversary.adversarial and adversary.discriminator == "enhancenet"
        if own_network and (not self.data.crop or self.data.crop % least):
            raise ValueError(
                f"objective.adversary.adversarial needs images of one size: set data.crop to a multiple of {least}, or "
                "lower objective.adversary.downsamplings"
            )
        return self

    @model_validator(mode="after")
    def _generation_fits(self) -> "Config":
        generates = self.network.condition == "none"
        if generates and self.data.scale != 1:
            raise ValueError("unconditional generation has no scale: with network.condition none set data.scale to 1")
        if generates and (self.data.blur or self.data.condition_gamma < 1):
            raise ValueError(
                "unconditional generation has no input to degrade: set data.blur to 0 and data.condition_gamma to 1"
            )
        if not generates and self.network.classes:
            raise ValueError("classes are for network.condition none: set network.classes to 0")
        if generates and not self.data.crop:
            raise ValueError("unconditional generation needs a fixed size: set data.crop to the side of the images")
        if generates and self.training.keep == "best-psnr":
            raise ValueError("unconditional generation has no ground truth for PSNR: set training.keep to last")
        if generates and (self.denoiser.target != "image" or self.objective.kind != "denoising"):
            raise ValueError("with network.condition none set denoiser.target to image and objective.kind to denoising")
        return self

    @model_validator(mode="after")
    def _restoration_degrades_its_input(self) -> "Config":
        data = self.data
        if data.scale > 1 or self.network.condition == "none":
            return self
        if data.degradation in ("bicubic", "area") and not data.blur and data.condition_gamma == 1:
            raise ValueError(
                f"at data.scale 1 the degradation {data.degradation} leaves the input unchanged: set data.degradation "
                "to blur, noise, jpeg, photo or paired; for generation set network.condition to none"
            )
        if self.sampling.correct and self.sampling.correct_cell == 1:
            raise ValueError(
                "at data.scale 1 the correction would restore the degraded input: set sampling.correct to false, or "
                "sampling.correct_cell to 8, which matches only colours and large structure"
            )
        return self

    @model_validator(mode="after")
    def _restoration_fits(self) -> "Config":
        if self.restoration is not None and (self.network.condition == "none" or self.network.condition_channels):
            raise ValueError(
                "a restoration network needs a model whose input and result have the same channels; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _condition_of_other_channels_is_paired(self) -> "Config":
        if not self.network.condition_channels:
            return self
        if self.data.degradation != "paired":
            raise ValueError("network.condition_channels is for paired data: set data.degradation to paired")
        if self.denoiser.target != "image" or self.sampling.correct or self.mean is not None:
            raise ValueError(
                "an input with other channels than the result allows no residual, correction or mean predictor: set "
                "denoiser.target to image, sampling.correct to false, and leave --mean out"
            )
        return self

    @model_validator(mode="after")
    def _conditioning_is_trained(self) -> "Config":
        noised = min(self.data.condition_gamma, self.sampling.condition_gamma) < 1
        if noised and not self.network.condition_level:
            raise ValueError(
                "condition_gamma below 1 must be given to the network: set network.condition_level to true"
            )
        if self.sampling.condition_gamma < self.data.condition_gamma:
            raise ValueError(
                f"sampling.condition_gamma {self.sampling.condition_gamma} is noisier than data.condition_gamma "
                f"{self.data.condition_gamma}, the noisiest level in training; set it to that or higher"
            )
        if not self.network.classes and (self.data.class_dropout or self.sampling.guidance):
            raise ValueError(
                "data.class_dropout and sampling.guidance need a class-conditional model: set network.classes, or both "
                "to 0"
            )
        if self.sampling.guidance and not self.data.class_dropout:
            raise ValueError(
                "sampling.guidance needs a model trained with data.class_dropout above 0; set sampling.guidance to 0"
            )
        return self

    @staticmethod
    def parse(tree: Mapping[str, Any], *, where: str) -> "Config":
        """Validate a tree of settings; ConfigError names the field, the value and the reason.

        At data.scale 1, sampling.correct defaults to false.
        """
        try:
            return Config.model_validate_json(json.dumps(_with_defaults(tree), default=str), strict=True)
        except ValidationError as error:
            raise ConfigError(f"{where}: {first_error(error)}") from error


def _with_defaults(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the default that depends on another setting."""
    data, sampling = tree.get("data"), tree.get("sampling", {})
    if not isinstance(data, Mapping) or cast(Mapping[str, Any], data).get("scale") != 1:
        return tree
    if not isinstance(sampling, Mapping):
        return tree
    return {**tree, "sampling": {"correct": False, **cast(Mapping[str, Any], sampling)}}
