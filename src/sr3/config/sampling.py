"""Settings of sampling, including searched noise levels."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr3.config.strict import Positive, Settings

__all__ = ["GridKind", "SamplerKind", "SamplingConfig", "SearchedGrid", "StartKind", "check_start"]

SamplerKind = Literal[
    "ancestral",
    "ancestral-posterior",
    "ddim",
    "dpmpp-2m",
    "heun",
    "probability-flow",
    "predictor-corrector",
    "regression",
    "distilled",
]
"""Names of samplers; each has a line in the table `sr3.diffusion.samplers.SAMPLERS`."""

GridKind = Literal["linear", "cosine", "log_snr", "karras"]


StartKind = Literal["noise", "mean"]

MOST_SIGNAL_IN_NOISE = 0.01
"""Largest share of signal at which pure noise may stand for a noisy image."""


def check_start(start: StartKind, gamma_first: float) -> None:
    """Raise ValueError for a level too clean to start from pure noise."""
    if start == "noise" and gamma_first > MOST_SIGNAL_IN_NOISE:
        raise ValueError(
            f"gamma_first {gamma_first:g} is above {MOST_SIGNAL_IN_NOISE:g}: pure noise would be treated as an image; "
            "set it lower, or use start = mean with a model that has a mean"
        )


class SearchedGrid(Settings):
    """Levels found on held-out images for a sampler and a number of steps (section 2.4)."""

    sampler: SamplerKind
    eta: float
    steps: Positive
    gammas: tuple[float, ...]
    """steps + 1 levels, rising to 1."""
    metric: str
    """Metric that the search minimised."""
    score: float
    """Value of the metric with these levels."""
    before: float
    """Value of the metric with the model's own levels on the same images."""

    @model_validator(mode="after")
    def _one_level_more_than_steps(self) -> "SearchedGrid":
        if len(self.gammas) != self.steps + 1:
            raise ValueError(f"{self.steps} steps need {self.steps + 1} levels, got {len(self.gammas)}")
        return self

    def serves(self, other: "SearchedGrid | SamplingConfig") -> bool:
        """Whether these levels are for the same sampler, eta and number of steps as `other`."""
        return (self.sampler, self.eta, self.steps) == (other.sampler, other.eta, other.steps)


class SamplingConfig(Settings):
    """Default sampling of the model. The paper uses Algorithm 2 with at most 100 steps."""

    sampler: SamplerKind = "ancestral"
    """ancestral: Algorithm 2; ancestral-posterior: variance of Eq. 4; ddim and dpmpp-2m: noise set by `eta`; heun and
    probability-flow: 2 and 4 network calls per step, no noise; predictor-corrector: 2 calls per step; regression: one
    call, for regression models; distilled: ddim with the steps that a distilled model has learned."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise added by ddim, dpmpp-2m and distilled, as a share of the standard deviation of the posterior; 0 is
    deterministic."""
    steps: Annotated[int, Field(ge=1, le=4000)] = 100
    """Refinement steps: one network call per step, two for heun and predictor-corrector, four for probability-flow."""
    grid: GridKind = "linear"
    """Family of the noise levels, used if `searched` has none for the sampler and number of steps."""
    start: StartKind = "noise"
    """Initial state of sampling: pure noise, or the mean (`[mean]`) diffused to the level `gamma_first`."""
    gamma_first: Annotated[float, Field(gt=0, lt=1)] = 4.4e-5
    """Level (gamma, the share of signal variance) at which sampling starts; 4.4e-5 is the last level of the linear
    training schedule. Values above 0.01 require `start` mean."""
    clip: bool = True
    """Clip each predicted clean image to [-1, 1]. Not specified in the paper."""
    correct: bool = True
    """Match the low frequencies of the result to the input, which prevents colour shifts. Not in the paper."""
    correct_cell: Annotated[int, Field(ge=1, le=64)] = 1
    """Cell size of the correction in input pixels: 1 matches every pixel; 8 matches only colours and structure larger
    than a JPEG block, for inputs whose fine structure should not be kept."""
    guidance: Annotated[float, Field(ge=0)] = 0.0
    """Weight w of classifier-free guidance: (1 + w) times the class-conditional prediction minus w times the
    unconditional one."""
    detail: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Interpolation between the posterior mean (0), which is smooth and close to the ground truth, and a full sample
    (1). Not in the paper."""
    flat_detail: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the difference between a sample and the mean (`[mean]`) that is kept where the mean is flat, such as a
    wall or the sky; 1 keeps all of it. Not in the paper."""
    condition_gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Level (gamma) to which the input is diffused before sampling, for networks trained with `data.condition_gamma`; 1
    adds no noise."""
    searched: tuple[SearchedGrid, ...] = ()
    """Noise levels found by `sr3 search-schedule`."""

    @property
    def found(self) -> SearchedGrid | None:
        """The searched levels for the current sampler, eta and number of steps, or None."""
        return next((grid for grid in self.searched if grid.serves(self)), None)

    @model_validator(mode="after")
    def _start_is_noise_enough(self) -> "SamplingConfig":
        check_start(self.start, self.gamma_first)
        return self

    @model_validator(mode="after")
    def _regression_is_one_call(self) -> "SamplingConfig":
        if self.sampler == "regression" and self.steps != 1:
            raise ValueError(f"a regression model predicts in 1 step, not {self.steps}; set sampling.steps to 1")
        if self.sampler == "regression" and self.detail < 1:
            raise ValueError("a regression model draws no samples, so detail has no effect; leave detail at 1")
        return self

    @model_validator(mode="after")
    def _distilled_gives_samples_only(self) -> "SamplingConfig":
        if self.sampler == "distilled" and self.detail < 1:
            raise ValueError(
                "a distilled model gives full samples, not their mean; leave detail at 1, or use its teacher"
            )
        return self
