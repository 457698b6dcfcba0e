"""DRCN: one convolution applied recursively to the upsampled image, with an output at every recursion.

Source: arXiv:1511.04491, section 3: embedding, inference and reconstruction, recursive supervision and the skip
from the input. Beyond the paper, which takes grey or colour: any channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sr3.config import DRCNConfig
from sr3.networks.one_call import OneCallNetwork, he_conv
from sr3.types import Condition, Gamma, Image

__all__ = ["DRCN"]


class DRCN(OneCallNetwork):
    """The upsampled input plus a residual from `recursions` applications of one 3x3 layer with shared weights."""

    def __init__(self, config: DRCNConfig, *, image_channels: int, scale: int) -> None:
        """Lay out the layers; the recursive one starts by passing each feature on, the others in He's way."""
        super().__init__(config.width, image_channels=image_channels, scale=scale)
        width, channels = config.width, image_channels
        self.embed = nn.ModuleList([he_conv(channels, width), he_conv(width, width)])
        self.again = he_conv(width, width)
        nn.init.dirac_(self.again.weight)
        self.rebuild = nn.ModuleList([he_conv(width, width), he_conv(width, channels)])
        self.shares = nn.Parameter(torch.full((config.recursions,), 1 / config.recursions))

    def forward(self, x: Condition, y_t: Image, gamma: Gamma, *, every: bool = False) -> Tensor:
        """Return the weighted sum of the predictions of all d recursions; with `every`, also each: (d + 1, b, c, h, w).

        y_t and gamma are ignored.
        """
        del y_t, gamma
        hidden = x
        for layer in self.embed:
            hidden = functional.relu(layer(hidden))
        total, answers = torch.zeros_like(x), list[Tensor]()
        for share in self.shares:
            hidden = functional.relu(self.again(hidden))
            answer = x + self.rebuild[1](functional.relu(self.rebuild[0](hidden)))
            total = total + share * answer
            answers += [answer] if every else []
        return torch.stack([total, *answers]) if every else total
