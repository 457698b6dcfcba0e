"""How much a line of an image stands out, where windows of a tiled result begin, end or hand over."""

from collections.abc import Iterable

import torch
from torch import Tensor

SEAM = 1.3
"""Times the step across the lines around it from which on a step counts as a seam."""

_NEAR = 24


def standing_out(change: Tensor, borders: Iterable[int], *, dim: int) -> dict[int, float]:
    """Compare the mean absolute step across each border with the median of those across 24 lines on either side.

    change: what tiles change of an image, (b, c, h, w); its own lines would hide a seam of one level. A border at k
    lies between the lines k - 1 and k; other borders do not count as lines around one.
    """
    steps = change.diff(dim=dim).abs().movedim(dim, -1).flatten(0, -2).mean(0)
    usual = torch.ones(len(steps), dtype=torch.bool)
    places = [border - 1 for border in borders]
    usual[places] = False
    found: dict[int, float] = {}
    for place in places:
        around = slice(max(0, place - _NEAR), place + _NEAR + 1)
        found[place + 1] = float(steps[place] / steps[around][usual[around]].median())
    return found


def with_seam(change: Tensor, border: int, level: float, *, dim: int) -> Tensor:
    """Lift all beyond a border by so much."""
    place = torch.arange(change.shape[dim]).reshape([-1 if k == dim % 4 else 1 for k in range(4)])
    return change + level * (place >= border)
