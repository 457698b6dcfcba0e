"""Normalisation statistics of a whole image that the network sees in windows.

Group normalisation divides by the spread of all it sees, so a window alone is normalised otherwise than as a part of
its image, and a tiled result differs from an untiled one; so it is with means of whole images (RCAN's attention).
Here the statistics are first learned from the middle of some windows, a quarter of them and at least nine, and pooled;
then every window is normalised by them.

It works on whatever network calls `torch.nn.functional.group_norm` or `adaptive_avg_pool2d` to one pixel, for the calls
are watched from outside (`torch.overrides.TorchFunctionMode`), in this thread alone.
"""

from abc import ABC, abstractmethod
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
            return _watched(of_window(window), _Apply(self._pooled))

        fused, chosen = tiled(pooled, cover, overlap=overlap), teachers(cover, multiple=multiple)

        def denoise(z: Image, gamma: Gamma) -> Prediction:
            self._sums, self._pixels = [], 0
            for window in chosen:
                pixels = window.height * window.width
                self._pixels += pixels
                _watched(of_window(window), _Learn(partial(self._learn, pixels)))(window.of(z), gamma)
            return fused(z, gamma)

        return denoise

    def _learn(self, pixels: int, number: int, own: _Moments) -> None:
        """Add a window's statistics of a normalisation to the image's."""
        if number == len(self._sums):
            self._sums.append(_Moments(torch.zeros_like(own.mean), torch.zeros_like(own.variance)))
        self._sums[number].mean.add_(own.mean, alpha=pixels)
        self._sums[number].variance.add_(own.variance + own.mean**2, alpha=pixels)

    def _pooled(self, number: int) -> _Moments:
        mean = self._sums[number].mean / self._pixels
        return _Moments(mean, (self._sums[number].variance / self._pixels - mean**2).clamp(min=0))


def _watched(denoise: Denoise, watch: "_Watch") -> Denoise:
    def watched(z: Image, gamma: Gamma) -> Prediction:
        watch.number = 0
        with watch:
            return denoise(z, gamma)

    return watched


class _Watch(TorchFunctionMode, ABC):
    """Counts the normalisations of a network's call, and computes them in its own way."""

    number = 0

    @abstractmethod
    def normalise(self, image: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Compute a group normalisation."""

    @abstractmethod
    def mean(self, image: Tensor) -> Tensor:
        """Compute the means of whole channels, (b, c)."""

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

    def _normalise(self, image: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
        out = self.normalise(image, groups, weight, bias, eps)
        self.number += 1
        return out

    def _mean(self, image: Tensor, output_size: object) -> Tensor:
        if output_size not in (1, (1, 1)):
            raise ValueError(f"only means of whole images can be shared by windows, not {output_size}")
        mean = self.mean(image)
        self.number += 1
        return mean[..., None, None]


class _Learn(_Watch):
    """Leaves every normalisation as it is, and reports its number and its statistics."""

    def __init__(self, learn: Callable[[int, _Moments], None]) -> None:
        """Take what receives the statistics."""
        super().__init__()
        self._learn = learn

    def normalise(self, image: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Normalise as torch does."""
        b, c, h, w = image.shape
        out, mean, rsigma = torch.native_group_norm(image, weight, bias, b, c, h * w, groups, eps)
        self._learn(self.number, _Moments(mean.float(), (rsigma**-2 - eps).float()))
        return out

    def mean(self, image: Tensor) -> Tensor:
        """Return the means of this image."""
        mean = image.mean(dim=(2, 3))
        self._learn(self.number, _Moments(mean.float(), torch.zeros_like(mean).float()))
        return mean


class _Apply(_Watch):
    """Normalises by statistics that are known, of shape (b, groups), in one pass over the image."""

    def __init__(self, known: Callable[[int], _Moments]) -> None:
        """Take what returns the statistics of a normalisation by its number."""
        super().__init__()
        self._known = known

    def normalise(self, image: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Normalise as torch would if these were the statistics of the image."""
        each = image.shape[1] // groups
        means, variances = (part.repeat_interleave(each, 1) for part in self._known(self.number))
        factors = weight.float(), bias.float()
        alike = [
            functional.batch_norm(one[None], mean, variance, *factors, eps=eps)
            for one, mean, variance in zip(image, means, variances, strict=True)
        ]
        return alike[0] if len(alike) == 1 else torch.cat(alike)

    def mean(self, image: Tensor) -> Tensor:
        """Return the means of the whole image."""
        return self._known(self.number).mean.to(image.dtype)
