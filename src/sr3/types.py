"""Tensor types used across modules (jaxtyping aliases, checked only in tests)."""

from jaxtyping import Float, Float64
from torch import Tensor

__all__ = ["Condition", "Gamma", "Grid", "Image", "LowRes", "State"]

Image = Float[Tensor, "b c h w"]
"""A batch of images, channels first, pixels in [-1, 1] where they are clean."""

State = Float[Tensor, "b *shape"]
"""What the process takes from data to noise and back: a batch of images, or of points of any other shape."""

Condition = Float[Tensor, "b seen *place"]
"""What a network sees beside a State: the enlarged input, of as many channels, or of none for a generator."""

LowRes = Float[Tensor, "b c low_h low_w"]
"""The raw low-resolution images beside an Image, pixels in [-1, 1]."""

Gamma = Float64[Tensor, " b"]
"""One level per image: the share of signal variance, float64, on the CPU."""

Grid = Float64[Tensor, " levels"]
"""A sampler's levels, rising to 1, float64, on the CPU."""
