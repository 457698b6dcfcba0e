"""Classifier-free guidance (arXiv:2207.12598, Eq. 6)."""

from sr3.diffusion.denoiser import Denoise, Prediction
from sr3.types import Gamma, State

__all__ = ["guided"]


def guided(with_class: Denoise, without: Denoise, weight: float) -> Denoise:
    """Combine two denoisers into (1 + weight) with_class - weight without; with 0, `without` is not called.

    At a fixed state y0 and eps are linear functions of each other, so applying the formula to both keeps them
    consistent.
    """
    if weight == 0:
        return with_class

    def denoise(z: State, gamma: Gamma) -> Prediction:
        conditional, unconditional = with_class(z, gamma), without(z, gamma)
        y0 = conditional.y0.lerp(unconditional.y0, -weight)
        return Prediction(y0, lambda: conditional.eps.lerp(unconditional.eps, -weight))

    return denoise
