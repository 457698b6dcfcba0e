"""Settings of a distilled model: its teacher's sampler and its own steps."""

from typing import Annotated

from pydantic import Field, model_validator

from sr3.config.sampling import GridKind, StartKind, check_start
from sr3.config.strict import Positive, Settings

__all__ = ["SHARED", "DistillationConfig"]

SHARED = ("steps", "eta", "grid", "start", "gamma_first")
"""What sampling must have in common with the distillation: the student knows these steps and no others."""


class DistillationConfig(Settings):
    """How a student was taught (arXiv:2202.00512, with the noise of arXiv:2210.03142)."""

    teacher: str
    """Name of the teacher, for people."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the teacher's weights."""
    steps: Annotated[int, Field(ge=1, le=64)] = 4
    """Steps of the student: one network call each."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise between its steps, as a share of the posterior's deviation. More noise means longer jumps to learn, and
    mends more of what earlier jumps got wrong."""
    grid: GridKind = "cosine"
    """Family of the student's levels."""
    start: StartKind = "noise"
    """What the student starts with: noise, or the mean noised to the level `gamma_first`."""
    gamma_first: Annotated[float, Field(gt=0, lt=1)] = 4.4e-5
    """Level at which the student starts; above 0.01 only from the mean."""
    teacher_steps: Positive = 4
    """Steps of the teacher within each of the student's, even in angle: one network call each."""

    @model_validator(mode="after")
    def _start_is_noise_enough(self) -> "DistillationConfig":
        check_start(self.start, self.gamma_first)
        return self
