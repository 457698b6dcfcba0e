"""The Gaussian process q, its posterior, and conversions between the parameterisations of a prediction.

Source: SR3, arXiv:2104.07636 (Eq. 1-6, Algorithm 2), and v of arXiv:2202.00512.
Every formula is a function of gamma, the share of signal variance. gamma is float64 on the CPU, shape (b,):
coefficients are computed there and cast at the multiplication, because 1 - gamma is 1e-6 at the cleanest level
of the paper's schedule, where float32 has an error of about one per cent.
States are images, shape (b, c, h, w), or of any other shape (b, ...).
This module depends on no network, conditional input or schedule.
"""

import torch
from torch import Tensor

from sr3.types import Gamma, State

__all__ = [
    "alpha_between",
    "diffuse",
    "eps_from_v",
    "eps_from_y0",
    "forward_variance",
    "log_snr",
    "mix",
    "per_image",
    "posterior_mean",
    "posterior_variance",
    "score_from_eps",
    "sigma",
    "v_from_y0_eps",
    "y0_from_eps",
    "y0_from_step",
    "y0_from_v",
]


def per_image(coefficient: Tensor, image: Tensor) -> Tensor:
    """Cast float64 coefficients of shape (b,) to the type and device of the images, shape (b, 1, ..., 1)."""
    return coefficient.to(device=image.device, dtype=image.dtype).reshape(-1, *[1] * (image.ndim - 1))


def mix(a: Tensor, y: State, b: Tensor, z: State, *, out: State | None = None) -> State:
    """Compute a y + b z with one coefficient per image; without gradients, channel by channel to save memory.

    out: what the result is written to; it may be y itself, not z.
    """
    total = torch.mul(per_image(a, y), y, out=out)
    if torch.is_grad_enabled():
        return total.add_(per_image(b, z) * z)
    for k in range(total.shape[1]):
        total[:, k : k + 1].add_(per_image(b, z) * z[:, k : k + 1])
    return total


def diffuse(y0: State, eps: State, gamma: Gamma, *, out: State | None = None) -> State:
    """Diffuse y0 to level gamma with the noise eps: sqrt(gamma) y0 + sqrt(1 - gamma) eps (Eq. 3 and 5).

    out: what the result is written to; it may be eps itself.
    """
    if out is not None:
        return mix((1 - gamma).sqrt(), eps, gamma.sqrt(), y0, out=out)
    return mix(gamma.sqrt(), y0, (1 - gamma).sqrt(), eps)


def alpha_between(gamma_t: Gamma, gamma_s: Gamma) -> Gamma:
    """Share of the variance that one step keeps, from the cleaner gamma_s to the noisier gamma_t (below Eq. 3)."""
    return gamma_t / gamma_s


def forward_variance(gamma_t: Gamma, gamma_s: Gamma) -> Gamma:
    """Variance 1 - alpha of one forward step (Eq. 2); Algorithm 2 samples with it."""
    return (gamma_s - gamma_t) / gamma_s


def posterior_variance(gamma_t: Gamma, gamma_s: Gamma) -> Gamma:
    """Variance of q(y_s | y0, y_t): (1 - gamma_s)(1 - alpha) / (1 - gamma_t) (Eq. 4)."""
    return (1 - gamma_s) * forward_variance(gamma_t, gamma_s) / (1 - gamma_t)


def posterior_mean(y0: State, y_t: State, gamma_t: Gamma, gamma_s: Gamma) -> State:
    """Mean of q(y_s | y0, y_t) (Eq. 4); with y0 computed from eps it is the mean of Algorithm 2."""
    of_y0 = gamma_s.sqrt() * forward_variance(gamma_t, gamma_s) / (1 - gamma_t)
    of_y_t = alpha_between(gamma_t, gamma_s).sqrt() * (1 - gamma_s) / (1 - gamma_t)
    return mix(of_y0, y0, of_y_t, y_t)


def y0_from_eps(y_t: State, eps: State, gamma: Gamma) -> State:
    """Solve Eq. 5 for y0; unbounded as gamma goes to 0."""
    return mix(gamma.rsqrt(), y_t, -((1 - gamma) / gamma).sqrt(), eps)


def y0_from_step(y_t: State, y_s: State, gamma_t: Gamma, gamma_s: Gamma) -> State:
    """Compute the y0 for which a deterministic DDIM step goes from y_t to y_s (arXiv:2202.00512, appendix G).

    Both are expressed by y0 and the same eps (Eq. 5), and eps is eliminated; gamma_s lies above gamma_t.
    """
    kept = ((1 - gamma_s) / (1 - gamma_t)).sqrt()
    of_y0 = gamma_s.sqrt() - kept * gamma_t.sqrt()
    return mix(1 / of_y0, y_s, -kept / of_y0, y_t)


def eps_from_y0(y_t: State, y0: State, gamma: Gamma) -> State:
    """Solve Eq. 5 for eps; unbounded as gamma goes to 1."""
    return mix((1 - gamma).rsqrt(), y_t, -(gamma / (1 - gamma)).sqrt(), y0)


def v_from_y0_eps(y0: State, eps: State, gamma: Gamma) -> State:
    """Compute the velocity v = sqrt(gamma) eps - sqrt(1 - gamma) y0 (arXiv:2202.00512, section 4)."""
    return mix(gamma.sqrt(), eps, -(1 - gamma).sqrt(), y0)


def y0_from_v(y_t: State, v: State, gamma: Gamma) -> State:
    """Convert v to y0: y0 = sqrt(gamma) y_t - sqrt(1 - gamma) v; bounded at every level."""
    return mix(gamma.sqrt(), y_t, -(1 - gamma).sqrt(), v)


def eps_from_v(y_t: State, v: State, gamma: Gamma) -> State:
    """Convert v to eps: eps = sqrt(1 - gamma) y_t + sqrt(gamma) v; bounded at every level."""
    return mix((1 - gamma).sqrt(), y_t, gamma.sqrt(), v)


def score_from_eps(eps: State, gamma: Gamma) -> State:
    """Compute the score grad log p(y_t | x) = -eps / sqrt(1 - gamma) (section 2.4)."""
    return -per_image((1 - gamma).rsqrt(), eps) * eps


def sigma(gamma: Gamma) -> Gamma:
    """Noise to signal ratio sqrt((1 - gamma) / gamma): the level on the EDM scale (arXiv:2206.00364)."""
    return ((1 - gamma) / gamma).sqrt()


def log_snr(gamma: Gamma) -> Gamma:
    """Logarithm of the signal to noise ratio, log(gamma / (1 - gamma))."""
    return gamma.logit()
