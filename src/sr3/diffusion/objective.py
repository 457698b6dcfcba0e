"""The training losses of SR3 (arXiv:2104.07636, Eq. 6 and Algorithm 1) and of its regression baseline.

Everything random is an argument, so the loss has one right answer. Averaging over the batch is the loop's.
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
    given: Conditioning = (),
) -> Tensor:
    """Compare the network's answer at level gamma with the truth, mean over pixels, shape (b,) (Eq. 6).

    y0: clean pictures in [-1, 1]; x: the condition, same shape; eps: standard normal, same shape.
    kind: p = 1 or p = 2 in Eq. 6. With eps prediction of the image this is the paper's objective.
    """
    clean = denoiser.encode(y0, x)
    output = denoiser(diffuse(clean, eps, gamma), x, gamma, given).float()
    return power_mean(output - denoiser.target_for(clean, eps, gamma), kind)


def regression_loss(
    denoiser: Denoiser[Any], y0: State, x: Condition, *, kind: LossKind, given: Conditioning = ()
) -> Tensor:
    """Compare the network's one answer to x alone with the truth, mean over pixels, shape (b,) (appendix B).

    The network is the same: at level 0 the noisy picture says nothing, and its mean, 0, is shown in its place, so
    that the best answer under L2 is the mean of p(y | x). Arguments as for `denoising_loss`.
    """
    return answer_loss(denoiser, one_answer(denoiser, y0, x, given=given), y0, x, kind=kind)


def one_answer(denoiser: Denoiser[Any], like: State, x: Condition, *, given: Conditioning = ()) -> State:
    """Ask the network for its one answer to x, a clean state of the shape of like."""
    level = torch.zeros(len(like), dtype=torch.float64)
    return denoiser.predict(torch.zeros_like(like), x, level, given).y0


def answer_loss(denoiser: Denoiser[Any], answer: State, y0: State, x: Condition, *, kind: LossKind) -> Tensor:
    """Compare an answer, a clean state, with the truth, mean over pixels, shape (b,)."""
    return power_mean(answer - denoiser.encode(y0, x), kind)


def supervised_loss(
    denoiser: Denoiser[Any], y0: State, x: Condition, *, kind: LossKind, share: float, given: Conditioning = ()
) -> Tensor:
    """Compare also the answers after each recursion with the truth (DRCN, arXiv:1511.04491), shape (b,).

    share: of the mean over recursions, alpha in the paper; the rest is the loss of the last answer. The network gives
    (d + 1, b, c, h, w) when asked for every answer. Else as for `regression_loss`.
    """
    clean, level = denoiser.encode(y0, x), torch.zeros(len(y0), dtype=torch.float64)
    answers = denoiser.network(x, torch.zeros_like(clean), level, *given, every=True).float()
    last, *others = (power_mean(answer - clean, kind) for answer in answers)
    return share * torch.stack(others).mean(dim=0) + (1 - share) * last


def power_mean(error: Tensor, kind: LossKind) -> Tensor:
    """Take |error|^p, mean over pixels, shape (b,)."""
    each = tuple(range(1, error.ndim))
    match kind:
        case "l1":
            return error.abs().mean(dim=each)
        case "l2":
            return error.square().mean(dim=each)
        case _:
            assert_never(kind)
