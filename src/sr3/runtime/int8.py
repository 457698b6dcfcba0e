"""Convolutions in 8-bit integers on a CPU: weights rounded once, features at every call.

Each output channel of the weights has a scale of its own; the features of an image have one scale and offset, from
their least to their greatest value. Sums are exact integers, scaled back to the type of the features, so what surrounds
the convolutions does not change. The kernels are those of oneDNN, as torch has them for quantised networks.
"""

import math
import warnings
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from sr3.errors import ConfigError

__all__ = ["ENDS", "Int8Conv", "leave_uncompiled", "levels_of_weights", "to_int8"]

ENDS = ("head", "tail", "guide")
"""Convolutions at the ends of a network, which stay as they are: they cost little and matter most."""

_LEVELS = 255  # of features
_LARGEST = (127, 63)
"""Levels of weights to each side of 0: without instructions for it, a CPU adds two products in 16 bits, where those of
127 levels saturate (2 x 255 x 127 > 2^15) and those of 63 do not."""
_TINY = 1e-12
_FEWEST = 32
"""Channels below which a convolution gains nothing."""


class Int8Conv(nn.Module):
    """A convolution of features (b, c, h, w) in float32 or bfloat16, image by image; it has no gradients.

    It cannot be copied or pickled, since oneDNN holds its weights.
    """

    def __init__(self, conv: nn.Conv2d, *, largest: int) -> None:
        """Round the weights of a convolution of one group. largest: levels of weights, of `levels_of_weights`."""
        super().__init__()
        weight = conv.weight.detach().float()
        scale = weight.abs().amax(dim=(1, 2, 3)).clamp(min=_TINY) / largest
        rounded = (weight / scale[:, None, None, None]).round().clamp(-largest, largest).to(torch.int8)
        self._geometry = list(conv.stride), list(cast(tuple[int, int], conv.padding)), list(conv.dilation)
        self._scale, self._offset = scale, torch.zeros(len(scale), dtype=torch.int64)
        self._bias = None if conv.bias is None else conv.bias.detach().float()
        self._packed: Tensor = torch.ops.onednn.qconv_prepack(rounded, scale, 1.0, 0, *self._geometry, 1, None)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve; NaN everywhere for an image whose features are not finite. RuntimeError where gradients are due."""
        if features.requires_grad and torch.is_grad_enabled():
            raise RuntimeError("dtype int8: has no gradients; load the model in float32")
        if len(features) == 1:
            return self._convolved(features)
        return torch.cat([self._convolved(image) for image in features.split(1)])

    def _convolved(self, image: Tensor) -> Tensor:
        values = image.detach().float().contiguous(memory_format=torch.channels_last)
        least, greatest = (float(end) for end in values.permute(0, 2, 3, 1).aminmax())
        if not (math.isfinite(least) and math.isfinite(greatest)):
            return self._convolved(torch.zeros_like(image)).fill_(torch.nan)
        least, greatest = min(least, 0.0), max(greatest, 0.0)  # padding is 0 and must be a level
        scale = max((greatest - least) / _LEVELS, _TINY)
        offset = round(-least / scale)
        return torch.ops.onednn.qconv2d_pointwise(
            _rounded(values, scale, offset), scale, offset, self._packed, self._scale, self._offset, self._bias,
            *self._geometry, 1, 1.0, 0, image.dtype, "none", [], "",
        )  # fmt: skip


def leave_uncompiled(network: nn.Module) -> None:
    """Keep torch.compile out of the 8-bit convolutions: their scales are numbers that differ from call to call.

    Not a decorator of the convolution, since torch then loads its compiler, which takes a second, with this file.
    """
    for part in network.modules():
        if isinstance(part, Int8Conv):
            part.forward = torch.compiler.disable(part.forward)  # pyright: ignore[reportAttributeAccessIssue]


def _rounded(values: Tensor, scale: float, offset: int) -> Tensor:
    """Return values / scale + offset as uint8, in their layout, by one pass over memory."""
    found: Any = torch.quantize_per_tensor(values, scale, offset, torch.quint8)
    return torch.empty(0, dtype=torch.uint8).set_(found.untyped_storage(), 0, found.shape, found.stride())


def to_int8(network: nn.Module) -> None:
    """Replace the convolutions inside a network; those at its ends, and of few channels, stay.

    ConfigError where torch has no such convolutions for this CPU.
    """
    largest = levels_of_weights()
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if _can_be_replaced(part) and not (parent is network and name in ENDS):
                setattr(parent, name, Int8Conv(cast(nn.Conv2d, part), largest=largest))


def _can_be_replaced(part: nn.Module) -> bool:
    if not isinstance(part, nn.Conv2d) or part.groups != 1 or min(part.in_channels, part.out_channels) < _FEWEST:
        return False
    return part.padding_mode == "zeros" and not isinstance(part.padding, str)


@cache
def levels_of_weights() -> int:
    """Try convolutions of the largest sums; returns the most levels whose sums are exact on this CPU.

    ConfigError where torch has no such convolutions.
    """
    conv = nn.Conv2d(_FEWEST, _FEWEST, 1, bias=False).requires_grad_(False)
    conv.weight.fill_(1.0)
    features = torch.ones(1, _FEWEST, 4, 4)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch 2.13 says once that tensors of such types will be dropped
            for largest in _LARGEST:
                if float((Int8Conv(conv, largest=largest)(features) - _FEWEST).abs().max()) < 0.01:
                    return largest
    except (AttributeError, RuntimeError, TypeError) as reason:
        detail = (str(reason).splitlines() or [type(reason).__name__])[0][:80]
        raise ConfigError(f"{_REFUSAL} ({detail}); give dtype auto") from reason
    raise ConfigError(f"{_REFUSAL}; give dtype auto")


_REFUSAL = "dtype int8: this torch has no 8-bit convolutions for this CPU"
