"""Proper scores of samples: the energy score of patches and of gradients, and CRPS, that of single values.


ES = E|Y - y| - E|Y - Y'| / 2 for samples Y, Y' and the truth y (Gneiting and Raftery 2007, Eq. 21): a proper score,
minimal when the samples follow p(y | x). Blur and noise increase the first term; samples that are all alike gain
nothing from the second. It is computed here on patches, at full and at half size, so that texture counts and not only
pixels.

In many dimensions the score depends on how far samples spread, but hardly on the directions: noise of the right
strength scores nearly as well as samples from the true distribution. The score of gradient magnitudes tells such noise
from the truth. It, too, is minimal for samples from p(y | x), but not only for them: it ignores shifts of brightness or
colour.

The CRPS is computed in its fair form: Y and Y' are different samples, so its expectation does not depend on the number
of samples. It ignores how pixels depend on each other.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, unfold

from sr3.types import Image

__all__ = ["PATCH", "crps", "energy_score", "gradient_energy_score"]

PATCH = 8
"""Side of a patch in pixels."""


def energy_score(samples: Tensor, truth: Image) -> Tensor:
    """Score samples (k, b, c, h, w), k at least 2, of a truth (b, c, h, w), in [-1, 1]; shape (b,), lower is better.

    Distances are root mean squares over a patch, in the [0, 1] range, means over patches that overlap by half.
    """
    if len(samples) < 2:
        raise ValueError(f"an energy score needs at least 2 samples, got {len(samples)}")
    return (_at_one_size(samples, truth) + _at_one_size(_halved(samples), _halved(truth))) / 2


def gradient_energy_score(samples: Tensor, truth: Image) -> Tensor:
    """Compute the energy score of gradient magnitudes, as `energy_score` does for pixels.

    Gradients are differences to the right and to the lower neighbour, sides at least 3; at half size their means.
    """
    return energy_score(_gradients(samples), _gradients(truth))


def _gradients(images: Tensor) -> Tensor:
    """Take the sizes of differences to the right and below: (..., c, h, w) to (..., 2c, h - 1, w - 1)."""
    images = images.float()
    inner = images[..., :-1, :-1]
    return torch.cat([images[..., :-1, 1:] - inner, images[..., 1:, :-1] - inner], dim=-3).abs()


def _at_one_size(samples: Tensor, truth: Tensor) -> Tensor:
    count = len(samples)
    patches, true_patches = [_patches(sample) for sample in samples], _patches(truth)
    miss = torch.stack([_distance(patch, true_patches) for patch in patches]).mean(dim=0)
    pairs = [_distance(patches[j], patches[k]) for j in range(count) for k in range(j)]
    return miss - torch.stack(pairs).mean(dim=0) / 2


def _patches(image: Image) -> Tensor:
    side = min(PATCH, *image.shape[-2:])
    return unfold(image.float() / 2, side, stride=max(1, side // 2))


def _distance(some: Tensor, other: Tensor) -> Tensor:
    return (some - other).square().mean(dim=1).sqrt().mean(dim=1)


def _halved(images: Tensor) -> Tensor:
    return avg_pool2d(images.flatten(0, -4), 2).unflatten(0, images.shape[:-3])


def crps(samples: Tensor, truth: Image) -> Tensor:
    """Score samples (k, b, c, h, w), k at least 2, of a truth (b, c, h, w): mean over values, [0, 1] range, shape (b,).

    Lower is better. For a single deterministic prediction it would be the mean absolute error.
    """
    count = len(samples)
    if count < 2:
        raise ValueError(f"a CRPS needs at least 2 samples, got {count}")
    values = samples.double() / 2
    miss = (values - truth.double() / 2).abs().mean(dim=0)
    # Of sorted values the sum of all |Y - Y'| is the sum of (2 r - k - 1) Y_r, r from 1 to k, over pairs once.
    ranks = torch.arange(1, count + 1, dtype=torch.float64, device=values.device)
    weights = (2 * ranks - count - 1).reshape(-1, 1, 1, 1, 1)
    apart = (weights * values.sort(dim=0).values).sum(dim=0) * 2 / (count * (count - 1))
    return (miss - apart / 2).mean(dim=(1, 2, 3))
