"""Classifier-free guidance (arXiv:2207.12598, Eq. 6)."""

from sr3.diffusion.denoiser import Denoise, Prediction
from sr3.types import Gamma, State

__all__ = ["guided"]


def guided(with_class: Denoise, without: Denoise, weight: float) -> Denoise:
    """Join two denoisers into (1 + weight) with_class - weight without; 0 is with_class, at half the cost.

    Both readings of a prediction are linear in each other at a fixed state, so guiding y0 and eps alike keeps them
    consistent.
    """
    if weight == 0:
        return with_class

    def denoise(z: State, gamma: Gamma) -> Prediction:
        told, untold = with_class(z, gamma), without(z, gamma)
        return Prediction(told.y0.lerp(untold.y0, -weight), told.eps.lerp(untold.eps, -weight))

    return denoise
