"""Normalisation statistics of a whole image that the network sees in windows.

Group normalisation divides by the spread of all it sees, so a window alone is normalised otherwise than as a part of
its image, and a tiled result differs from an untiled one; so it is with means of whole images (RCAN's attention).
Here the statistics are first learned from the middle of some windows, a quarter of them and at least nine, and pooled;
then every window is normalised by them.

It works on whatever network calls `torch.nn.functional.group_norm` or `adaptive_avg_pool2d` to one pixel, for the calls
are watched from outside (`torch.overrides.TorchFunctionMode`), in this thread alone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sr3.diffusion.denoiser import Denoise, Prediction
from sr3.sampling.tiling import Window, tiled
from sr3.types import Gamma, Image

__all__ = ["SharedNorms", "teachers"]

_LEAST = 9
_SHARE = 4
_SIDE = 256
"""Side in pixels of what is learned from of a window; more costs time and changes results by less than 0.1 8-bit levels
(docs/explanation/tiles-and-colour.md)."""


class _Moments(NamedTuple):
    """Mean and variance of each group, shape (b, groups); of a mean alone, the variance is 0."""

    mean: Tensor
    variance: Tensor


def teachers(cover: Sequence[Window], *, multiple: int) -> list[Window]:
    """Choose what statistics are learned from: the middle of a quarter of the windows, at least nine, at random.

    multiple: of pixels, at which windows may begin.
    """
    count = max(_LEAST, -(-len(cover) // _SHARE))
    scattered = torch.randperm(len(cover), generator=torch.Generator().manual_seed(0)).tolist()
    return [_middle(cover[index], multiple) for index in sorted(scattered[:count])]


def _middle(window: Window, multiple: int) -> Window:
    side = max(multiple, _SIDE // multiple * multiple)
    high, wide = (length if length <= side else side for length in (window.height, window.width))
    down, right = (
        (rest - kept) // 2 // multiple * multiple for rest, kept in ((window.height, high), (window.width, wide))
    )
    return Window(window.top + down, window.left + right, high, wide)


class SharedNorms:
    """Statistics of one image: of every normalisation the sums over windows of the means and of the mean squares.

    The sums are added to in place: small tensors that stayed behind each window would keep the memory between them from
    being used again.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._sums: list[_Moments] = []
        self._pixels = 0

    def joined(
        self, of_window: Callable[[Window], Denoise], cover: list[Window], *, overlap: int, multiple: int
    ) -> Denoise:
        """Join the denoisers of windows as `tiled` does, each normalising as the whole image would.

        multiple: of pixels, at which windows may begin.
        """

        def pooled(window: Window) -> Denoise:
            return self._watched(of_window(window), self._pooled)

        fused, chosen = tiled(pooled, cover, overlap=overlap), teachers(cover, multiple=multiple)

        def denoise(z: Image, gamma: Gamma) -> Prediction:
            self._sums, self._pixels = [], 0
            for window in chosen:
                pixels = window.height * window.width
                self._pixels += pixels
                self._watched(of_window(window), partial(self._learn, pixels))(window.of(z), gamma)
            return fused(z, gamma)

        return denoise

    def _watched(self, denoise: Denoise, replace: Callable[[int, _Moments], _Moments]) -> Denoise:
        def watched(z: Image, gamma: Gamma) -> Prediction:
            with _Watch(replace):
                return denoise(z, gamma)

        return watched

    def _learn(self, pixels: int, number: int, own: _Moments) -> _Moments:
        """Add a window's statistics of a normalisation to the image's, and leave them as they are."""
        if number == len(self._sums):
            self._sums.append(_Moments(torch.zeros_like(own.mean), torch.zeros_like(own.variance)))
        self._sums[number].mean.add_(own.mean, alpha=pixels)
        self._sums[number].variance.add_(own.variance + own.mean**2, alpha=pixels)
        return own

    def _pooled(self, number: int, _own: _Moments) -> _Moments:
        mean = self._sums[number].mean / self._pixels
        return _Moments(mean, (self._sums[number].variance / self._pixels - mean**2).clamp(min=0))


class _Watch(TorchFunctionMode):
    """Counts the normalisations of a network's call, and puts other statistics in the place of each one's own."""

    def __init__(self, replace: Callable[[int, _Moments], _Moments]) -> None:
        """Take what gives the statistics for a normalisation's number and its own."""
        super().__init__()
        self._replace, self._number = replace, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 (torch's own signature)
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is functional.group_norm:
            return self._normalise(*args, **(kwargs or {}))
        if func is functional.adaptive_avg_pool2d:
            return self._mean(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _mean(self, image: Tensor, output_size: object) -> Tensor:
        if output_size not in (1, (1, 1)):
            raise ValueError(f"only means of whole images can be shared by windows, not {output_size}")
        mean = image.mean(dim=(2, 3))
        reference = self._replace(self._number, _Moments(mean.float(), torch.zeros_like(mean).float()))
        self._number += 1
        return reference.mean.to(image.dtype)[..., None, None]

    def _normalise(self, image: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
        b, c, h, w = image.shape
        out, mean, rsigma = torch.native_group_norm(image, weight, bias, b, c, h * w, groups, eps)
        own = _Moments(mean.float(), (rsigma**-2 - eps).float())
        reference, self._number = self._replace(self._number, own), self._number + 1
        if reference is own:
            return out
        inverse = (reference.variance + eps).rsqrt()
        shift = (own.mean - reference.mean) * inverse
        ratio, shift = (part.repeat_interleave(c // groups, 1) for part in (inverse / rsigma, shift))
        offset = bias * (1 - ratio) + shift * weight
        offset, ratio, wide = offset[..., None, None].float(), ratio[..., None, None].float(), out.float()
        moved = torch.addcmul(offset, wide, ratio, out=None if torch.is_grad_enabled() else wide)
        return moved.to(out.dtype)
