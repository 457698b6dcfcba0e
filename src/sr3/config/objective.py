"""What a model is trained to do: to denoise, to answer in one call, or to repeat a teacher's sampling in fewer steps.

The three are told apart by `kind`, and each has only the settings that mean something to it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Discriminator, Field, Tag, model_validator

from sr3.config.adversary import AdversaryConfig
from sr3.config.sampling import GridKind, StartKind, check_start
from sr3.config.strict import Positive, Settings

__all__ = [
    "OBJECTIVES",
    "SHARED",
    "DenoisingConfig",
    "DistillationConfig",
    "LossKind",
    "ObjectiveConfig",
    "RegressionConfig",
]

LossKind: TypeAlias = Literal["l1", "l2"]

SHARED = ("steps", "eta", "grid", "start", "gamma_first")
"""What sampling must have in common with the distillation: the student knows these steps and no others."""


class DenoisingConfig(Settings):
    """The loss of SR3 (Eq. 6): the network's output at a random level of noise is compared with its target."""

    kind: Literal["denoising"] = "denoising"
    """Which objective it is."""
    loss: LossKind = "l2"
    """p of Eq. 6. L1 gives less diverse samples (arXiv:2111.05826)."""


class RegressionConfig(Settings):
    """The paper's baseline (appendix B): the best single answer to the input, in one call."""

    kind: Literal["regression"] = "regression"
    """Which objective it is."""
    loss: LossKind = "l2"
    """p of the loss of pixels."""
    supervision: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share that the answers after each recursion of `drcn` have in the loss at first (alpha in arXiv:1511.04491);
    it falls linearly to 0 at the last step."""
    adversary: AdversaryConfig = AdversaryConfig()
    """Losses that look at more than pixels."""

    @model_validator(mode="after")
    def _adversary_fits(self) -> "RegressionConfig":
        adversary = self.adversary
        if adversary.truth or adversary.learned or adversary.grain:
            raise ValueError("adversary.truth, grain and learned are for models that are distilled: sr3 distill")
        if adversary.is_used and self.supervision:
            raise ValueError("adversary is for a regression without supervision, or sr3 distill")
        return self


class DistillationConfig(Settings):
    """How a student was taught (arXiv:2202.00512, with the noise of arXiv:2210.03142); set by sr3 distill."""

    kind: Literal["distillation"] = "distillation"
    """Which objective it is."""
    loss: LossKind = "l2"
    """p of the loss beside the teacher."""
    teacher: str
    """Name of the teacher, for people."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the teacher's weights."""
    steps: Annotated[int, Field(ge=1, le=64)] = 4
    """Steps of the student: one network call each."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise between its steps, as a share of the posterior's deviation. More noise means longer jumps to learn, and
    corrects more of the errors of earlier jumps."""
    grid: GridKind = "cosine"
    """Family of the student's levels."""
    start: StartKind = "noise"
    """What the student starts with: noise, or the mean noised to the level `gamma_first`."""
    gamma_first: Annotated[float, Field(gt=0, lt=1)] = 4.4e-5
    """Level at which the student starts; above 0.01 only from the mean."""
    teacher_steps: Positive = 4
    """Steps of the teacher within each of the student's, even in angle: one network call each."""
    adversary: AdversaryConfig = AdversaryConfig()
    """Losses of the picture that each jump aims at, beside the truth."""

    @model_validator(mode="after")
    def _start_is_noise_enough(self) -> "DistillationConfig":
        check_start(self.start, self.gamma_first)
        return self


OBJECTIVES: Mapping[str, type[Settings]] = {
    "denoising": DenoisingConfig,
    "regression": RegressionConfig,
    "distillation": DistillationConfig,
}
"""The settings of each kind."""


def _kind(value: object) -> str | None:
    """Tell which objective a section describes; the paper's where it does not say."""
    if isinstance(value, Mapping):
        return str(cast(Mapping[str, Any], value).get("kind", "denoising"))
    return getattr(value, "kind", None)


ObjectiveConfig: TypeAlias = Annotated[
    Annotated[DenoisingConfig, Tag("denoising")]
    | Annotated[RegressionConfig, Tag("regression")]
    | Annotated[DistillationConfig, Tag("distillation")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message=f"Objectives are {', '.join(OBJECTIVES)}",
    ),
]
"""Settings of an objective, told apart by `kind`."""
