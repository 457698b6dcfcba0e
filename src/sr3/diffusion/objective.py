"""The training loss (SR3, arXiv:2104.07636, Eq. 6 and Algorithm 1).

Everything random is an argument, so the loss has one right answer. Averaging over the batch is the loop's.
"""

from typing import Any, Literal, assert_never

from torch import Tensor

from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.process import diffuse
from sr3.types import Gamma, Image

__all__ = ["LossKind", "denoising_loss"]

LossKind = Literal["l1", "l2"]


def denoising_loss(denoiser: Denoiser[Any], y0: Image, x: Image, *, eps: Image, gamma: Gamma, kind: LossKind) -> Tensor:
    """Compare the network's answer at level gamma with the truth, mean over pixels, shape (b,) (Eq. 6).

    y0: clean pictures in [-1, 1]; x: the condition, same shape; eps: standard normal, same shape.
    kind: p = 1 or p = 2 in Eq. 6. With eps prediction of the image this is the paper's objective.
    """
    clean = denoiser.encode(y0, x)
    output = denoiser(diffuse(clean, eps, gamma), x, gamma).float()
    error = output - denoiser.wanted(clean, eps, gamma)
    match kind:
        case "l1":
            return error.abs().mean(dim=(1, 2, 3))
        case "l2":
            return error.square().mean(dim=(1, 2, 3))
        case _:
            assert_never(kind)
