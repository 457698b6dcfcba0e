"""Tiled denoising: overlapping windows are fused at every step.

There is one noise field for the whole image, and the state is always whole, so tiles cannot drift apart
(as in MultiDiffusion, arXiv:2302.08113, with weights that fall off towards the border of a window).
The file knows no network and no condition: it is given a function of the window.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.diffusion.denoiser import Denoise, Prediction
from sr3.diffusion.process import eps_from_y0
from sr3.types import Gamma, Image

__all__ = ["Window", "tiled", "window_weight", "windows"]


class Window(NamedTuple):
    """A rectangle of the output, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """Cut the window out of (..., h, w)."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


def windows(height: int, width: int, *, tile: int, overlap: int, multiple: int) -> list[Window]:
    """Cover an image with as few windows of at most tile pixels per side as overlap by at least overlap, all alike.

    Starts are multiples of `multiple`, so that the network's grid lies the same way in all windows; for that tile is
    rounded down and overlap up. Raises ValueError when tile is then not larger than overlap.
    """
    tile, overlap = tile // multiple * multiple, -(-overlap // multiple) * multiple
    if tile <= overlap:
        raise ValueError(f"tiles of {tile} pixels cannot overlap by {overlap}")
    rows, columns = (_spans(side, tile=tile, overlap=overlap, multiple=multiple) for side in (height, width))
    return [Window(top, left, high, wide) for (top, high), (left, wide) in product(rows, columns)]


def _spans(side: int, *, tile: int, overlap: int, multiple: int) -> list[tuple[int, int]]:
    """Cut a side into spans (start, length) of nearly equal length."""
    if side <= tile:
        return [(0, side)]
    count = -(-(side - overlap) // (tile - overlap))
    length = -(-(side + (count - 1) * overlap) // count)
    length = -(-length // multiple) * multiple
    last = -(-(side - length) // multiple) * multiple
    starts = [last * k // (count - 1) // multiple * multiple for k in range(count)]
    return [(start, min(length, side - start)) for start in starts]


def window_weight(window: Window, height: int, width: int, *, overlap: int) -> Tensor:
    """Weight of a window's pixels, shape (h, w): rising over the overlap except at the image's own border."""
    down = _ramp(window.top, window.height, height, overlap)
    across = _ramp(window.left, window.width, width, overlap)
    return down[:, None] * across


def _ramp(start: int, length: int, side: int, overlap: int) -> Tensor:
    place = torch.arange(length, dtype=torch.float32)
    # The outer quarter counts for nothing: there the network sees the cut.
    rise = ((place + 0.5 - overlap / 4) / (overlap / 2)).clamp(1e-4, 1)
    rise = torch.sin(rise * torch.pi / 2) ** 2
    before = rise if start > 0 else torch.ones(length)
    after = rise.flip(0) if start + length < side else torch.ones(length)
    return before * after


def _total(spans: Iterable[tuple[int, int]], side: int, overlap: int) -> Tensor:
    """Sum of the weights of spans (start, length) along a side; those of windows are products of two such sums."""
    total = torch.zeros(side)
    for start, length in sorted(spans):
        total[start : start + length] += _ramp(start, length, side, overlap)
    return total


def tiled(denoise_window: Callable[[Window], Denoise], cover: Sequence[Window], *, overlap: int) -> Denoise:
    """Join denoisers of windows into one of the whole image, by a weighted mean of their predicted clean states.

    cover: in rows and columns, as `windows` returns it. The noise follows from the mean, for both readings of a
    prediction are linear in each other. Windows are taken from the top left on, whatever the order they are given in,
    so that the sums are always rounded alike.
    """
    cover = sorted(cover)

    def denoise(z: Image, gamma: Gamma) -> Prediction:
        height, width = z.shape[-2:]
        y0 = torch.zeros_like(z)
        for window in cover:
            weight = window_weight(window, height, width, overlap=overlap).to(z)
            window.of(y0).add_(denoise_window(window)(window.of(z), gamma).y0 * weight)
        rows = _total({(window.top, window.height) for window in cover}, height, overlap)
        columns = _total({(window.left, window.width) for window in cover}, width, overlap)
        y0.div_(rows[:, None].to(z)).div_(columns.to(z))
        return Prediction(y0, partial(eps_from_y0, z, y0, gamma))

    return denoise
