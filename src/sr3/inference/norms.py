"""Normalisation of a whole picture that the network sees in windows.

Group normalisation divides by the spread of all it sees, so a window alone is normalised otherwise than as a part of
its picture, and a tiled result differs from an untiled one. Here every call sees the windows twice: the first time the
statistics of all windows are learned and pooled, the second time every window is normalised by them.

It works on whatever network calls `torch.nn.functional.group_norm`, for the calls are watched from outside
(`torch.overrides.TorchFunctionMode`), in this thread alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sr3.diffusion.denoiser import Denoise, Prediction
from sr3.inference.tiling import Window
from sr3.types import Gamma, Image

__all__ = ["SharedNorms"]


class _Moments(NamedTuple):
    """Mean and variance of each group, shape (b, groups)."""

    mean: Tensor
    variance: Tensor


class SharedNorms:
    """Statistics of one picture's windows."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._own: dict[Window, list[_Moments]] = {}
        self._pooled: list[_Moments] = []

    def inside(self, window: Window, denoise: Denoise) -> Denoise:
        """Let a window's denoiser normalise as the whole picture would, once that is known."""

        def shared(z: Image, gamma: Gamma) -> Prediction:
            with _Watch(self._pooled) as watch:
                prediction = denoise(z, gamma)
            self._own[window] = watch.seen
            return prediction

        return shared

    def over(self, joined: Denoise) -> Denoise:
        """Make every call of the denoiser that joins the windows twice: to learn the statistics, and with them."""

        def denoise(z: Image, gamma: Gamma) -> Prediction:
            self._pooled = []
            joined(z, gamma)
            self._pool()
            return joined(z, gamma)

        return denoise

    def _pool(self) -> None:
        sizes = [window.height * window.width for window in self._own]
        total = sum(sizes)
        shares = [size / total for size in sizes]
        self._pooled = [_pooled(layers, shares) for layers in zip(*self._own.values(), strict=True)]


def _pooled(parts: Sequence[_Moments], shares: Sequence[float]) -> _Moments:
    """Join the moments of parts of a picture."""
    mean = sum((part.mean * share for part, share in zip(parts, shares, strict=True)), torch.zeros(()))
    spread = [part.variance + (part.mean - mean) ** 2 for part in parts]
    return _Moments(mean, sum((s * share for s, share in zip(spread, shares, strict=True)), torch.zeros(())))


class _Watch(TorchFunctionMode):
    """Notes the statistics of each normalisation in the order of the calls, and puts the picture's in their place."""

    def __init__(self, pooled: Sequence[_Moments]) -> None:
        """Take the picture's statistics, or none while they are learned."""
        super().__init__()
        self.seen: list[_Moments] = []
        self._pooled = pooled

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 (torch's own signature)
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is not functional.group_norm:
            return func(*args, **(kwargs or {}))
        return self._normalise(*args, **(kwargs or {}))

    def _normalise(self, image: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
        b, c, h, w = image.shape
        out, mean, rsigma = torch.native_group_norm(image, weight, bias, b, c, h * w, groups, eps)
        number = len(self.seen)
        self.seen.append(_Moments(mean.float(), (rsigma**-2 - eps).float()))
        if number >= len(self._pooled):
            return out
        wanted = (self._pooled[number].variance + eps).rsqrt()
        moved = (mean - self._pooled[number].mean) * wanted
        ratio, shift = (part.repeat_interleave(c // groups, 1) for part in (wanted / rsigma, moved))
        offset = bias * (1 - ratio) + shift * weight
        return torch.addcmul(offset[..., None, None].float(), out.float(), ratio[..., None, None].float()).to(out.dtype)
