"""Sampling plans: a sampler, its noise levels, and the settings of the rest.

A plan is made from settings alone, or with a sampler and levels that a program brings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from sr3.build import build_grid, build_sampler, most_first
from sr3.checkpoint import ModelInfo
from sr3.config import Config, SamplingConfig
from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import SAMPLERS, Sampler, SamplerFunction, Step, as_sampler, numbered
from sr3.diffusion.schedule import check_grid
from sr3.errors import ConfigError, GridError
from sr3.types import Grid, State

__all__ = ["GridChoice", "SamplerChoice", "Sampling", "SamplingPlan", "as_plan", "plan_for", "sampling_for"]

SamplerChoice: TypeAlias = str | SamplerFunction
"""A sampler's name in the settings, or a function of the form that `sr3.diffusion.samplers` describes."""

GridChoice: TypeAlias = str | Tensor | Sequence[float]
"""A family of levels by its name in the settings, or the levels themselves: gammas that rise to 1."""

_FEWEST = 4
"""Steps that a later pass takes at least, where the model may choose."""


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """A sampler, its levels, and settings; GridError for levels that cannot lead from noise to an image.

    settings: everything besides sampler and levels (start, clip, correct, guidance, detail, condition_gamma).
    grid: the levels, shape (steps + 1,). grid_is_given: whether the caller gave them, so that every pass uses them.
    """

    settings: SamplingConfig
    sampler: Sampler[[Denoise, State, Grid, NoiseSource]]
    grid: Grid
    grid_is_given: bool = False

    def __post_init__(self) -> None:
        """Check the levels."""
        object.__setattr__(self, "grid", check_grid(self.grid, most=most_first(self.settings)))

    @property
    def steps(self) -> int:
        """Refinement steps."""
        return len(self.grid) - 1

    @property
    def calls(self) -> int:
        """Network calls per sample; a `detail` below 1 adds one."""
        return self.sampler.traits.calls(self.steps) + (self.settings.detail < 1)

    def walk(self, denoise: Denoise, start: State, noise: NoiseSource) -> Iterator[Step]:
        """Run the sampler; ConfigError when it does not yield one Step of the state's shape for each step."""
        shape, number = start.shape, 0
        steps = self.sampler(denoise, start, self.grid, noise)
        del denoise, start  # only the sampler still needs them
        for number, step in numbered(steps, start=1):
            self._check(step, number, shape)
            yield step
            del step
        if number < self.steps:
            raise ConfigError(f"sampler {self.sampler.name}: ended after {number} of {self.steps} steps; {_FORM}")

    def _check(self, step: Step, number: int, shape: torch.Size) -> None:
        # A sampler may be anybody's function, so what it yields is looked at.
        if not isinstance(step, Step) or step.y.shape != shape or step.y0.shape != shape:  # pyright: ignore[reportUnnecessaryIsInstance]
            what = type(step).__name__ if not isinstance(step, Step) else f"states of {tuple(step.y.shape)}"  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"sampler {self.sampler.name}: yielded {what}, not Steps of {tuple(shape)}; {_FORM}")
        if number > self.steps:
            raise ConfigError(f"sampler {self.sampler.name}: takes more than {self.steps} steps; {_FORM}")

    def of_pass(self, number: int) -> "SamplingPlan":
        """Return the plan of pass number 0, 1, ...: the first samples as asked, later ones in half the steps.

        The paper's cascades are sampled in the same way, with most steps at the smallest size
        (docs/how-to/generate.md). Levels that a model has learnt, or that were given, stay.
        """
        if number == 0 or self.grid_is_given or not self.sampler.traits.any_grid:
            return self
        steps = max(min(_FEWEST, self.steps), self.steps // 2)
        settings = self.settings.model_copy(update={"steps": steps})
        return replace(self, settings=settings, grid=build_grid(settings))


_FORM = "it yields one Step for each pair of neighbouring levels (docs/explanation/samplers.md)"

Sampling: TypeAlias = SamplingConfig | SamplingPlan
"""Settings of sampling, or a plan made of them."""


def as_plan(sampling: Sampling) -> SamplingPlan:
    """Create a plan of settings; a plan is returned as it is."""
    if isinstance(sampling, SamplingPlan):
        return sampling
    return SamplingPlan(sampling, build_sampler(sampling), build_grid(sampling))


def sampling_for(
    info: ModelInfo,
    *,
    steps: int | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    guidance: float | None = None,
    detail: float | None = None,
) -> SamplingConfig:
    """Return the model's own sampling settings, except for those given here; ConfigError as for settings.

    Levels found by a search are used unless a grid is asked for.
    """
    return _changed(info, {"steps": steps, "sampler": sampler, "grid": grid, "guidance": guidance, "detail": detail})


def plan_for(
    info: ModelInfo,
    *,
    steps: int | None = None,
    sampler: SamplerChoice | None = None,
    grid: GridChoice | None = None,
    eta: float | None = None,
    detail: float | None = None,
) -> SamplingPlan:
    """Plan sampling with the model's own settings, except for those given here; None keeps the model's own.

    A sampler that is a function walks the levels that the model's own sampler would, unless a grid is given.
    Raises ConfigError as for settings and for a sampler, steps, levels or eta that do not go together or that the
    model was not trained on; GridError for levels that cannot lead from noise to an image.
    """
    given = None if grid is None or isinstance(grid, str) else _levels(grid, most=most_first(info.config.sampling))
    function = None if sampler is None or isinstance(sampler, str) else as_sampler(sampler)
    _check_learnt(info, function, given)
    asked = {
        "steps": steps if given is None else _steps_along(given, steps),
        "sampler": sampler if function is None else None,
        "grid": grid if given is None else None,
        "eta": eta if function is None else None,
        "detail": detail,
    }
    settings = _changed(info, asked)
    chosen = build_sampler(settings) if function is None else function
    if eta is not None:
        chosen = chosen.with_eta(eta)
    return SamplingPlan(settings, chosen, build_grid(settings) if given is None else given, given is not None)


def _changed(info: ModelInfo, asked: Mapping[str, object]) -> SamplingConfig:
    """Put what is asked for in the place of the model's settings, and check all of them together."""
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in asked.items()}
    changes = {name: value for name, value in values.items() if value is not None}
    if "grid" in changes:
        changes["searched"] = ()
    tree = info.config.model_dump(mode="json", exclude_none=True)
    return Config.parse({**tree, "sampling": {**tree["sampling"], **changes}}, where=info.name).sampling


def _levels(grid: Tensor | Sequence[float], *, most: float) -> Grid:
    """Read the levels that a program gives; GridError when no sample can come of them."""
    try:
        levels = torch.as_tensor(grid, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GridError(f"grid = {grid!r}: give a family's name, or a list or tensor of gammas") from error
    return check_grid(levels, most=most)


def _steps_along(grid: Grid, steps: int | None) -> int:
    found = len(grid) - 1
    if steps is not None and steps != found:
        raise ConfigError(f"steps = {steps}: the grid has levels for {found} steps; leave steps out")
    return found


def _check_learnt(info: ModelInfo, function: Sampler[...] | None, grid: Grid | None) -> None:
    """Raise ConfigError for a sampler or levels that the model has not learnt to answer."""
    own = info.config.sampling
    if SAMPLERS[own.sampler].traits.any_grid or (function is None and grid is None):
        return
    taught = info.config.distillation
    if taught is None:
        raise ConfigError(
            f"{info.name}: a regression model predicts in one call and takes no sampler and no grid; "
            "leave them out, or use a diffusion model"
        )
    if grid is not None and not torch.equal(grid, build_grid(own)):
        raise ConfigError(
            f"{info.name}: a distilled model can use only the levels that it was trained on; leave the grid out, or "
            f"use its teacher, {taught.teacher}"
        )
