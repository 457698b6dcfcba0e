"""Training objectives: denoising, regression, or distillation of a teacher's sampling into fewer steps.

They are a union tagged by `kind`, in which each variant has only the settings it uses.
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
"""Settings that sampling must share with the distillation: the student has learned these steps only."""


class DenoisingConfig(Settings):
    """The loss of SR3 (Eq. 6): the network's output at a random noise level is compared with its target."""

    kind: Literal["denoising"] = "denoising"
    """Training objective."""
    loss: LossKind = "l2"
    """Norm of the loss: p of Eq. 6 is 1 or 2. L1 gives less diverse samples (arXiv:2111.05826)."""


class RegressionConfig(Settings):
    """The paper's regression baseline (appendix B): a single prediction in one network call."""

    kind: Literal["regression"] = "regression"
    """Training objective."""
    loss: LossKind = "l2"
    """Norm of the pixel loss."""
    supervision: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Initial weight of the intermediate predictions of `drcn` in the loss (alpha in arXiv:1511.04491); it decays
    linearly to 0 at the last step."""
    adversary: AdversaryConfig = AdversaryConfig()
    """Perceptual and adversarial losses."""

    @model_validator(mode="after")
    def _adversary_fits(self) -> "RegressionConfig":
        adversary = self.adversary
        if adversary.truth or adversary.learned or adversary.grain or adversary.consistency:
            raise ValueError(
                "objective.adversary.truth, grain, consistency and learned are for distilled models: set them to 0, or "
                "use sr3 distill"
            )
        if adversary.is_used and self.supervision:
            raise ValueError(
                "the losses of objective.adversary cannot be combined with objective.supervision: set one of them to 0"
            )
        return self


class DistillationConfig(Settings):
    """Distillation of a student (arXiv:2202.00512, with the noise of arXiv:2210.03142); set by sr3 distill."""

    kind: Literal["distillation"] = "distillation"
    """Training objective."""
    loss: LossKind = "l2"
    """Norm of the loss to the teacher's result."""
    teacher: str
    """Name of the teacher, for information."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the teacher's weights."""
    steps: Annotated[int, Field(ge=1, le=64)] = 4
    """Steps of the student, one network call per step."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise added between steps, as a share of the standard deviation of the posterior. More noise makes the
    student's steps longer, so harder to learn, and corrects more of the errors of earlier steps."""
    grid: GridKind = "cosine"
    """Family of the student's noise levels."""
    start: StartKind = "noise"
    """Initial state of sampling: pure noise, or the mean diffused to the level `gamma_first`."""
    gamma_first: Annotated[float, Field(gt=0, lt=1)] = 4.4e-5
    """Level (gamma) at which sampling starts; values above 0.01 require `start` mean."""
    teacher_steps: Positive = 4
    """Teacher steps per student step, evenly spaced in the angle phi with gamma = sin^2(phi); one network call per
    step."""
    adversary: AdversaryConfig = AdversaryConfig()
    """Losses on the clean image predicted by each step, compared with the ground truth."""

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
    """Return the kind of an objective section; the default is that of the paper."""
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
