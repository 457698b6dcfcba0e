"""Settings of the diffusion process: its noise levels, and the parameterisation of the network's output."""

from typing import Annotated, Literal

from pydantic import Field

from sr3.config.strict import Settings

__all__ = ["DenoiserConfig", "ScheduleConfig"]


class ScheduleConfig(Settings):
    """Noise levels used in training and how they are drawn (section 2.4). The paper does not give the betas."""

    kind: Literal["linear", "cosine"] = "linear"
    """Shape of the noise schedule."""
    num_levels: Annotated[int, Field(ge=2, le=1_000_000)] = 2000
    """T, the number of segments of p(gamma)."""
    beta_first: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """First beta of the linear schedule (Palette, arXiv:2111.05826)."""
    beta_last: Annotated[float, Field(gt=0, lt=1)] = 1e-2
    """Last beta of the linear schedule (same source)."""
    draw: Literal["gamma", "sqrt_gamma"] = "gamma"
    """Variable in which p(gamma) is uniform within a segment: gamma as in the formula, sqrt_gamma as in WaveGrad's
    code."""


class DenoiserConfig(Settings):
    """Parameterisation of the network's output."""

    prediction: Literal["eps", "v", "y0"] = "eps"
    """Quantity that the network predicts."""
    target: Literal["image", "residual"] = "image"
    """Whether the diffusion runs on the image or on its residual to the upsampled input."""
    target_scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor applied to the target, chosen so that its standard deviation is near 1."""
