"""The training losses of SR3 (arXiv:2104.07636, Eq. 6 and Algorithm 1) and of its regression baseline.

All random numbers are arguments, so the losses are deterministic. The training loop averages over the batch.
"""

from typing import Any, Literal, assert_never

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Conditioning, Denoiser
from sr3.diffusion.process import diffuse
from sr3.types import Condition, Gamma, State

__all__ = [
    "LossKind",
    "answer_loss",
    "denoising_loss",
    "one_answer",
    "power_mean",
    "regression_loss",
    "supervised_loss",
]

LossKind = Literal["l1", "l2"]


def denoising_loss(
    denoiser: Denoiser[Any],
    y0: State,
    x: Condition,
    *,
    eps: State,
    gamma: Gamma,
    kind: LossKind,
    conditioning: Conditioning = (),
) -> Tensor:
    """Compute the loss of Eq. 6 at level gamma, mean over pixels, shape (b,).

    y0: clean images in [-1, 1]; x: the conditioning image, same shape; eps: standard normal, same shape.
    kind: p = 1 or p = 2 in Eq. 6. With eps prediction of the image this is the paper's objective.
    """
    clean = denoiser.encode(y0, x)
    output = denoiser(diffuse(clean, eps, gamma), x, gamma, conditioning).float()
    return power_mean(output - denoiser.target_for(clean, eps, gamma), kind)


def regression_loss(
    denoiser: Denoiser[Any], y0: State, x: Condition, *, kind: LossKind, conditioning: Conditioning = ()
) -> Tensor:
    """Compute the loss of the regression baseline, mean over pixels, shape (b,) (appendix B).

    The network is the same. At level 0 the noisy image carries no information, and its mean, 0, takes its place, so
    the minimiser under L2 is the mean of p(y | x). Arguments as for `denoising_loss`.
    """
    return answer_loss(denoiser, one_answer(denoiser, y0, x, conditioning=conditioning), y0, x, kind=kind)


def one_answer(denoiser: Denoiser[Any], like: State, x: Condition, *, conditioning: Conditioning = ()) -> State:
    """Predict a clean state of the shape of `like` from x alone, in one network call."""
    level = torch.zeros(len(like), dtype=torch.float64)
    return denoiser.predict(torch.zeros_like(like), x, level, conditioning).y0


def answer_loss(denoiser: Denoiser[Any], answer: State, y0: State, x: Condition, *, kind: LossKind) -> Tensor:
    """Compute the loss of a predicted clean state, mean over pixels, shape (b,)."""
    return power_mean(answer - denoiser.encode(y0, x), kind)


def supervised_loss(
    denoiser: Denoiser[Any], y0: State, x: Condition, *, kind: LossKind, share: float, conditioning: Conditioning = ()
) -> Tensor:
    """Compute the loss of DRCN, which also supervises every recursion (arXiv:1511.04491), shape (b,).

    share: weight of the mean over recursions, alpha in the paper; the rest is the weight of the final prediction. With
    `every`, the network returns (d + 1, b, c, h, w). Other arguments as for `regression_loss`.
    """
    clean, level = denoiser.encode(y0, x), torch.zeros(len(y0), dtype=torch.float64)
    answers = denoiser.network(x, torch.zeros_like(clean), level, *conditioning, every=True).float()
    last, *others = (power_mean(answer - clean, kind) for answer in answers)
    return share * torch.stack(others).mean(dim=0) + (1 - share) * last


def power_mean(error: Tensor, kind: LossKind) -> Tensor:
    """Compute |error|^p, mean over pixels, shape (b,)."""
    each = tuple(range(1, error.ndim))
    match kind:
        case "l1":
            return error.abs().mean(dim=each)
        case "l2":
            return error.square().mean(dim=each)
        case _:
            assert_never(kind)
