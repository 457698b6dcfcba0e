"""Settings of sampling, with the grids found by a search."""

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
"""Largest share of signal at which pure noise may stand for a noisy picture."""


def check_start(start: StartKind, gamma_first: float) -> None:
    """Raise ValueError for a level too clean to begin with noise alone."""
    if start == "noise" and gamma_first > MOST_SIGNAL_IN_NOISE:
        raise ValueError(
            f"gamma_first {gamma_first:g} is above {MOST_SIGNAL_IN_NOISE:g}: pure noise would be taken for a picture; "
            "set it lower, or start at the noised mean of a model that has one (start = mean)"
        )


class SearchedGrid(Settings):
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

    def serves(self, other: "SearchedGrid | SamplingConfig") -> bool:
        """Whether these levels are for the same sampler, eta and number of steps."""
        return (self.sampler, self.eta, self.steps) == (other.sampler, other.eta, other.steps)


class SamplingConfig(Settings):
    """How samples are drawn when the user does not say. The paper: Algorithm 2 in at most 100 steps."""

    sampler: SamplerKind = "ancestral"
    """ancestral: Algorithm 2; ancestral-posterior: variance of Eq. 4; ddim and dpmpp-2m: noise of `eta`; heun and
    probability-flow: 2 and 4 calls a step, no noise; predictor-corrector: 2 calls; regression: the baseline's one;
    distilled: ddim in the steps that a distilled model was taught."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Noise that ddim, dpmpp-2m and distilled add, as a share of the posterior's deviation; 0 is deterministic."""
    steps: Annotated[int, Field(ge=1, le=4000)] = 100
    """Refinement steps: one network call each, two for heun and predictor-corrector, four for probability-flow."""
    grid: GridKind = "linear"
    """Family of the levels, where `searched` has none for the sampler and the steps."""
    start: StartKind = "noise"
    """What sampling starts with: noise, or the mean (`[mean]`) noised to the level `gamma_first`."""
    gamma_first: Annotated[float, Field(gt=0, lt=1)] = 4.4e-5
    """Level at which sampling starts; 4.4e-5 is where the linear training schedule ends. Above 0.01 only from the
    mean."""
    clip: bool = True
    """Hold each predicted picture in [-1, 1]. Open in the paper."""
    correct: bool = True
    """Match the low frequencies of the result to the input, so that colours do not shift. Not in the paper."""
    correct_cell: Annotated[int, Field(ge=1, le=64)] = 1
    """Side in pixels of the input of what is matched: 1 matches every pixel; 8 only colours and shapes larger than a
    block of JPEG, for inputs whose fine structure is not to be kept."""
    guidance: Annotated[float, Field(ge=0)] = 0.0
    """Weight w of classifier-free guidance: (1 + w) times the estimate with the class, less w times that without."""
    detail: Annotated[float, Field(ge=0, le=1)] = 1.0
    """From the posterior mean, 0, which is smooth and near to the truth, to a whole sample, 1. Not in the paper."""
    flat_detail: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of a sample's difference to the mean (`[mean]`) that is kept where the mean is flat, such as a wall or the
    sky; 1 keeps all of it. Not in the paper."""
    condition_gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Level to which the input is noised before sampling, for networks that were trained so; 1 leaves it clean."""
    searched: tuple[SearchedGrid, ...] = ()
    """Levels found by `sr3 search-schedule`."""

    @property
    def found(self) -> SearchedGrid | None:
        """The searched levels for the sampler, eta and number of steps in use; None where there are none."""
        return next((grid for grid in self.searched if grid.serves(self)), None)

    @model_validator(mode="after")
    def _start_is_noise_enough(self) -> "SamplingConfig":
        check_start(self.start, self.gamma_first)
        return self

    @model_validator(mode="after")
    def _regression_is_one_call(self) -> "SamplingConfig":
        if self.sampler == "regression" and self.steps != 1:
            raise ValueError(f"a regression model answers in 1 step, not {self.steps}, and always the same")
        if self.sampler == "regression" and self.detail < 1:
            raise ValueError("a regression model has no samples to take detail from; leave detail at 1")
        return self

    @model_validator(mode="after")
    def _distilled_gives_samples_only(self) -> "SamplingConfig":
        if self.sampler == "distilled" and self.detail < 1:
            raise ValueError(
                "a distilled model gives whole samples, not their mean; leave detail at 1, or use its teacher"
            )
        return self
