"""`Sampler`: a sampling function and what is known about it (`Traits`).

A sampler takes `(denoise, y, grid, noise)` and yields a `Step` for each pair of neighbouring levels:

- `denoise(y, gamma)` calls the network, whose conditional inputs are bound, and returns `Prediction(y0, eps)`;
- `y`, shape (b, ...), is the state to start from, at the level `grid[0]`;
- `grid`, shape (steps + 1,), are the levels, float64 on the CPU, rising to 1;
- `noise.like(y)` draws fresh noise.

The last `Step` is at level 1: its `y` is the sample. Such a function is enough to sample with. `described` adds the
traits that memory and time estimates use; without them, `UNKNOWN` is assumed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, update_wrapper
from typing import Generic, Literal, ParamSpec, TypeAlias, cast

from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers.step import Step, without_gradients
from sr3.errors import ConfigError
from sr3.types import Grid, State

__all__ = ["UNKNOWN", "Sampler", "SamplerFunction", "Traits", "as_sampler", "described"]

P = ParamSpec("P")

SamplerFunction: TypeAlias = Callable[[Denoise, State, Grid, NoiseSource], Iterator[Step]]
"""Signature of a sampler: (denoise, y, grid, noise) to one `Step` per pair of neighbouring levels."""


@dataclass(frozen=True)
class Traits:
    """Properties of a sampler that its signature does not show.

    calls_per_step: network calls of each step except the last. calls_in_last: those of the last, which reaches level 1.
    extra_states: states held in memory at the peak beyond those of `ancestral`; each is as large as the result.
    noise: whether it draws noise after the start: never, a share `eta` that the caller chooses, or always.
    any_grid: whether levels other than those fixed by the training of the model may be used.
    noisy_below: with fewer steps than this (but more than one), visible noise stays in the result; 0 if no such limit
        was found. noisy_below_on: the same for grid families that need fewer steps. Measured in
        docs/explanation/samplers.md.
    """

    calls_per_step: int
    extra_states: int
    noise: Literal["never", "eta", "always"]
    calls_in_last: int = 1
    any_grid: bool = True
    noisy_below: int = 0
    noisy_below_on: Mapping[str, int] = field(default_factory=dict[str, int])

    def calls(self, steps: int) -> int:
        """Count the network calls of a number of steps."""
        return (steps - 1) * self.calls_per_step + self.calls_in_last

    def steps_within(self, calls: int) -> int:
        """Count the steps that a budget of network calls allows; 0 if not even one fits."""
        return max(0, (calls - self.calls_in_last) // self.calls_per_step + 1)


UNKNOWN = Traits(calls_per_step=4, calls_in_last=4, extra_states=7, noise="always")
"""Assumed for a function without traits: the calls and states of the most expensive sampler here."""


@dataclass(frozen=True, eq=False)
class Sampler(Generic[P]):
    """A sampling function with its name and traits; called like the function."""

    name: str
    walk: Callable[P, Iterator[Step]]
    traits: Traits

    def __post_init__(self) -> None:
        """Expose the docstring and parameters of the function to `help` and editors."""
        object.__setattr__(self, "__doc__", self.walk.__doc__)
        object.__setattr__(self, "__wrapped__", self.walk)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Step]:
        """Walk the state y along the grid."""
        return self.walk(*args, **kwargs)

    def with_eta(self, eta: float) -> "Sampler[[Denoise, State, Grid, NoiseSource]]":
        """Return the sampler with a fixed eta, from 0 to 1; ConfigError for a sampler that has no eta."""
        if self.traits.noise != "eta":
            raise ConfigError(
                f"eta = {eta:g}: the sampler {self.name} has no eta; leave it out, or use ddim or dpmpp-2m"
            )
        if not 0 <= eta <= 1:
            raise ConfigError(f"eta = {eta:g}: give a share of the posterior's noise from 0 to 1")
        walk = update_wrapper(partial(cast("Callable[..., Iterator[Step]]", self.walk), eta=eta), self.walk)
        return Sampler(self.name, cast(SamplerFunction, walk), self.traits)


def described(name: str, traits: Traits) -> Callable[[Callable[P, Iterator[Step]]], Sampler[P]]:
    """Decorate a function as a sampler, which runs without gradients.

        @described("mine", Traits(calls_per_step=1, extra_states=0, noise="never"))
        def mine(denoise, y, grid, noise): ...

    The function may have keyword arguments with defaults besides the four.
    """

    def describe(function: Callable[P, Iterator[Step]]) -> Sampler[P]:
        return Sampler(name, without_gradients(function), traits)

    return describe


def as_sampler(function: SamplerFunction) -> Sampler[[Denoise, State, Grid, NoiseSource]]:
    """Return a sampler unchanged; a plain function gets the traits `UNKNOWN`.

    A `functools.partial` of a sampler keeps that sampler's traits. ConfigError for a value that is not callable.
    """
    if isinstance(function, Sampler):
        return cast("Sampler[[Denoise, State, Grid, NoiseSource]]", function)
    if isinstance(function, partial) and isinstance(function.func, Sampler):
        whole = cast("Sampler[[Denoise, State, Grid, NoiseSource]]", function.func)
        return replace(whole, walk=cast(SamplerFunction, function))
    if not callable(function):
        raise ConfigError(f"sampler = {function!r}: give a name, or a function of (denoise, y, grid, noise)")
    return described(getattr(function, "__name__", type(function).__name__), UNKNOWN)(function)
