"""The whole tree of settings, and what must agree between its parts."""

import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError, model_validator

from sr3.config.adversary import AdversaryConfig
from sr3.config.complaint import first_complaint
from sr3.config.diffusion import DenoiserConfig, ScheduleConfig
from sr3.config.mean import MeanConfig
from sr3.config.network import BigGANConfig, NetworkConfig
from sr3.config.objective import SHARED, DenoisingConfig, DistillationConfig, ObjectiveConfig, RegressionConfig
from sr3.config.sampling import SamplingConfig
from sr3.config.strict import Settings
from sr3.config.training import DataConfig, OptimizerConfig, TrainingConfig
from sr3.errors import ConfigError

__all__ = ["Config"]


_OWN_SAMPLER = {"regression": "regression", "distillation": "distilled"}
"""Objectives whose models are sampled in one way only."""
_LEAST_FLAT = 24
"""Side of the smallest pictures that are looked at for flat places, in windows of 17 pixels."""


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
    """Only of a model that refines the picture of a mean; written by --mean."""

    @property
    def adversary(self) -> AdversaryConfig | None:
        """The losses beside the pixels'; None where the objective has none."""
        of_one_answer = isinstance(self.objective, RegressionConfig | DistillationConfig)
        return self.objective.adversary if of_one_answer else None

    @property
    def distillation(self) -> DistillationConfig | None:
        """What a distilled model was taught; None for another."""
        return self.objective if isinstance(self.objective, DistillationConfig) else None

    @model_validator(mode="after")
    def _sampler_fits_objective(self) -> "Config":
        objective, sampler = self.objective.kind, self.sampling.sampler
        own = _OWN_SAMPLER.get(objective)
        if (own is not None and sampler != own) or (own is None and sampler in _OWN_SAMPLER.values()):
            raise ValueError(f"a model whose objective is {objective} cannot be sampled by {sampler}")
        if objective == "regression" and self.denoiser.prediction != "y0":
            raise ValueError("a regression model predicts y0: set denoiser.prediction to y0")
        return self

    @model_validator(mode="after")
    def _steps_are_those_learnt(self) -> "Config":
        taught, sampling = self.distillation, self.sampling
        if taught is None:
            return self
        if self.denoiser.prediction == "eps":
            raise ValueError("noise predicted at the first level does not tell the picture: distil a model of v or y0")
        for name in SHARED:
            asked, learnt = getattr(sampling, name), getattr(taught, name)
            if asked != learnt:
                raise ValueError(
                    f"a distilled model is sampled as it was taught, with {name} {learnt} and not {asked}; use "
                    f"the model that it was made of, which was called {taught.teacher}, or distil again"
                )
        if sampling.searched:
            raise ValueError("a distilled model has learnt its levels, and no others can be searched for it")
        return self

    @model_validator(mode="after")
    def _one_call_fits(self) -> "Config":
        network = self.network
        if network.answers_in_one_call and self.objective.kind != "regression":
            raise ValueError(
                f"family {network.family} answers in one call: set objective.kind and sampling.sampler to "
                "regression, denoiser.prediction to y0 and sampling.steps to 1"
            )
        if network.sees_low_res and (self.data.blur or self.data.enlarged != "full"):
            raise ValueError(
                f"family {network.family} sees the input before it is enlarged, where data.blur and data.enlarged do "
                "nothing; leave them out"
            )
        supervised = isinstance(self.objective, RegressionConfig) and self.objective.supervision > 0
        if supervised and network.family != "drcn":
            raise ValueError("objective.supervision is for network.family drcn, which answers after every recursion")
        return self

    @model_validator(mode="after")
    def _mean_fits(self) -> "Config":
        mean, network = self.mean, self.network
        teaches = self.distillation is not None and self.distillation.adversary.pixel > 0
        if mean is not None and mean.condition == "mean" and teaches:
            raise ValueError(
                "mean.condition mean: a teacher without the mean does not know its picture; set mean.condition to "
                "enlarged, or objective.adversary.pixel to 0 and learn from the truth"
            )
        if mean is None:
            if network.guide:
                raise ValueError("network.guide is for features of a mean, and there is none; give --mean MODEL")
            if self.sampling.start == "mean":
                raise ValueError("sampling.start mean: the model has no mean to start with; leave it at noise")
            if self.sampling.flat_detail < 1:
                raise ValueError("sampling.flat_detail: the model has no mean to be near to; leave it at 1")
            return self
        if network.answers_in_one_call or network.condition == "none" or network.condition_level:
            raise ValueError("a mean is for U-Nets that enlarge a picture without noise on it; leave it out")
        if self.data.blur or self.data.enlarged != "full":
            raise ValueError(
                "a mean sees the input before it is enlarged, where data.blur and data.enlarged do nothing"
            )
        if network.guide not in (0, mean.network.width):
            raise ValueError(f"network.guide is 0 or the width of the mean, {mean.network.width}")
        if self.data.crop and self.data.crop <= 2 * mean.margin * self.data.scale:
            raise ValueError(
                f"data.crop {self.data.crop} is all margin; set it above {2 * mean.margin * self.data.scale}, or "
                "mean.margin lower"
            )
        return self

    @model_validator(mode="after")
    def _guide_enters_somewhere(self) -> "Config":
        network, scale = self.network, self.data.scale
        if not isinstance(network, BigGANConfig):
            return self
        sides = [network.stem * 2**level for level in range(len(network.multipliers))]
        if network.guide and scale not in sides:
            raise ValueError(
                f"network.guide: no level of the U-Net has the resolution of an input that is enlarged {scale} times; "
                f"the levels are {', '.join(map(str, sides))} times smaller than the result"
            )
        return self

    @model_validator(mode="after")
    def _adversary_fits(self) -> "Config":
        adversary = self.adversary
        if adversary is None:
            return self
        if (adversary.flat or adversary.grain) and 0 < self.data.crop < _LEAST_FLAT:
            raise ValueError(f"adversary.flat and grain look at windows: set data.crop to {_LEAST_FLAT} or more")
        least = 2**adversary.halvings
        own_network = adversary.adversarial and adversary.discriminator == "enhancenet"
        if own_network and (not self.data.crop or self.data.crop % least):
            raise ValueError(
                f"adversary.adversarial needs pictures of one size: set data.crop to a multiple of {least}, or "
                "adversary.halvings lower"
            )
        return self

    @model_validator(mode="after")
    def _generator_is_whole(self) -> "Config":
        generates = self.network.condition == "none"
        if generates and self.data.scale != 1:
            raise ValueError("a generator enlarges nothing: with network.condition none set data.scale to 1")
        if generates and (self.data.blur or self.data.condition_gamma < 1):
            raise ValueError("a generator has no input that blur or condition_gamma could spoil")
        if not generates and self.network.classes:
            raise ValueError("only a generator has classes: set network.classes to 0")
        if generates and not self.data.crop:
            raise ValueError("a generator needs the side of its pictures in data.crop")
        if generates and self.training.keep == "best-psnr":
            raise ValueError("a generator has no truth to be near to: set training.keep to last")
        if generates and (self.denoiser.target != "image" or self.objective.kind != "denoising"):
            raise ValueError("a generator has no input: set denoiser.target to image and objective.kind to denoising")
        return self

    @model_validator(mode="after")
    def _restoration_has_something_to_restore(self) -> "Config":
        data = self.data
        if data.scale > 1 or self.network.condition == "none":
            return self
        if data.degradation in ("bicubic", "area") and not data.blur and data.condition_gamma == 1:
            raise ValueError(
                f"at data.scale 1 the degradation {data.degradation} leaves the input as it is: set data.degradation "
                "to blur, noise, jpeg, photo or paired; a generator has network.condition none"
            )
        if self.sampling.correct and self.sampling.correct_cell == 1:
            raise ValueError(
                "at data.scale 1 the correction would give the degraded input back: set sampling.correct to false, or "
                "sampling.correct_cell to 8, which matches only colours and large shapes"
            )
        return self

    @model_validator(mode="after")
    def _condition_of_other_channels_is_paired(self) -> "Config":
        if not self.network.condition_channels:
            return self
        if self.data.degradation != "paired":
            raise ValueError("network.condition_channels is for pairs of one's own: set data.degradation to paired")
        if self.denoiser.target != "image" or self.sampling.correct or self.mean is not None:
            raise ValueError(
                "an input of other channels than the result has no residual, correction or mean: set denoiser.target "
                "to image, sampling.correct to false, and leave --mean out"
            )
        return self

    @model_validator(mode="after")
    def _condition_is_told(self) -> "Config":
        noised = min(self.data.condition_gamma, self.sampling.condition_gamma) < 1
        if noised and not self.network.condition_level:
            raise ValueError("condition_gamma below 1 needs network.condition_level, so that the network knows")
        if self.sampling.condition_gamma < self.data.condition_gamma:
            raise ValueError(
                f"sampling.condition_gamma {self.sampling.condition_gamma} is more noise than data.condition_gamma "
                f"{self.data.condition_gamma}, the most that the network learns"
            )
        if not self.network.classes and (self.data.hide_class or self.sampling.guidance):
            raise ValueError("hide_class and guidance need network.classes")
        if self.sampling.guidance and not self.data.hide_class:
            raise ValueError("guidance needs a model trained with data.hide_class above 0")
        return self

    @staticmethod
    def parse(tree: Mapping[str, Any], *, where: str) -> "Config":
        """Check a tree of settings; ConfigError names the field, the value and the reason.

        Where the tree does not say, sampling.correct is off at data.scale 1.
        """
        try:
            return Config.model_validate_json(json.dumps(_with_defaults(tree), default=str), strict=True)
        except ValidationError as error:
            raise ConfigError(f"{where}: {first_complaint(error)}") from error


def _with_defaults(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the default that depends on another setting."""
    data, sampling = tree.get("data"), tree.get("sampling", {})
    if not isinstance(data, Mapping) or cast(Mapping[str, Any], data).get("scale") != 1:
        return tree
    if not isinstance(sampling, Mapping):
        return tree
    return {**tree, "sampling": {"correct": False, **cast(Mapping[str, Any], sampling)}}
