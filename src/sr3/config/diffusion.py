"""Settings of the diffusion: its levels, and what the network's output means in it."""

from typing import Annotated, Literal

from pydantic import Field

from sr3.config.strict import Settings

__all__ = ["DenoiserConfig", "ScheduleConfig"]


class ScheduleConfig(Settings):
    """The levels seen in training and how they are drawn (section 2.4). Betas are open in the paper."""

    kind: Literal["linear", "cosine"] = "linear"
    """Shape of the betas."""
    num_levels: Annotated[int, Field(ge=2, le=1_000_000)] = 2000
    """T, the number of segments of p(gamma)."""
    beta_first: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """First beta of the linear schedule (Palette, arXiv:2111.05826)."""
    beta_last: Annotated[float, Field(gt=0, lt=1)] = 1e-2
    """Last beta of the linear schedule (same source)."""
    draw: Literal["gamma", "sqrt_gamma"] = "gamma"
    """Where p(gamma) is uniform inside a segment: gamma by the formula, sqrt_gamma by WaveGrad's code."""


class DenoiserConfig(Settings):
    """What the network's output means."""

    prediction: Literal["eps", "v", "y0"] = "eps"
    """What the network estimates."""
    target: Literal["image", "residual"] = "image"
    """Whether the process runs on the picture or on its difference to the upsampled input."""
    target_scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the target, so that its spread is near 1."""
