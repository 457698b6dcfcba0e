"""Feature maps by a given network, with gradients, for perceptual and texture losses."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from sr3.errors import CheckpointError
from sr3.metrics.features import load_torchscript
from sr3.metrics.stlpips import Backbone, load_stlpips_maps, load_stlpips_weights
from sr3.types import Image

__all__ = ["Maps", "load_maps", "load_stlpips_heads"]

Maps = Callable[[Image], Sequence[Tensor]]
"""Function from images (b, 3, h, w) in [-1, 1] to feature maps (b, c, h', w')."""


_BACKBONES: dict[str, Backbone] = {"st-lpips": "alex", "st-lpips-vgg": "vgg"}


def load_maps(where: str, device: torch.device) -> Maps:
    """Load `st-lpips`, `st-lpips-vgg` or a TorchScript file, which takes [0, 1]; CheckpointError when there is none.

    The maps raise CheckpointError when the network cannot take the images or gives no maps. TorchScript runs code, so
    take it only from people you trust.
    """
    if where in _BACKBONES:
        return load_stlpips_maps(_BACKBONES[where])
    path = Path(where)
    if not path.is_file():
        raise CheckpointError(f"{where}: no such feature network; give st-lpips, st-lpips-vgg or a TorchScript file")
    network = cast(Any, load_torchscript(path)).to(device)
    for parameter in network.parameters():
        parameter.requires_grad_(False)

    def maps(image: Image) -> Sequence[Tensor]:
        try:
            found = network((image + 1) / 2)
        except RuntimeError as error:
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{path}: cannot compute features of these images: {detail}") from error
        several = [found] if isinstance(found, Tensor) else list(found)
        if not several or any(not isinstance(one, Tensor) or one.ndim != 4 for one in several):
            raise CheckpointError(f"{path}: gives no maps of shape (b, c, h, w); export it without the last layers")
        return several

    return maps


def load_stlpips_heads(where: str) -> list[Tensor]:
    """Load the weights of the channels of `st-lpips` or `st-lpips-vgg`, as the learned distance has them."""
    return load_stlpips_weights(_BACKBONES[where])
