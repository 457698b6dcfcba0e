"""Heads on frozen features as the discriminator of a model: Projected GAN (arXiv:2111.01007) with a hinge loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from sr3.config import AdversaryConfig
from sr3.metrics.efficientnet import LITE, load_lite_maps
from sr3.metrics.maps import Maps, load_maps
from sr3.networks.projected import Heads
from sr3.types import Image

__all__ = ["ProjectedDiscriminator", "View", "open_projected"]

_ENLARGED = 1.75
"""EfficientNet-lite1 sees pictures so much larger, as it is where features of patches are compared; lite2 as they are.

So the heads judge texture at two scales."""
_KEPT_OF_VGG = 3
"""Maps of ST-LPIPS that are judged: the finest."""


@dataclass(frozen=True)
class View:
    """A frozen network, how much larger it sees a picture, and how many of its maps are judged."""

    maps: Maps
    enlarged: float
    kept: int

    def of(self, image: Image) -> Sequence[Tensor]:
        """Compute the maps of pictures (b, 3, h, w) in [-1, 1]."""
        if self.enlarged != 1:
            size = [round(side * self.enlarged) for side in image.shape[-2:]]
            image = interpolate(image, size=size, mode="bilinear", align_corners=False)
        return self.maps(image)[: self.kept]


@dataclass(frozen=True)
class ProjectedDiscriminator:
    """The heads, the networks they see by, and their optimiser; heads and optimiser are saved with the run."""

    critic: Heads
    views: Sequence[View]
    optimizer: torch.optim.Optimizer
    rate: float

    def fooled(self, answer: Image) -> Tensor:
        """Measure how far results are from being taken for photographs, mean over places and heads, shape (b,)."""
        self.critic.requires_grad_(False)  # the loss is the model's, not the heads'
        return -self._mean(self.critic(self._seen(answer)))

    def learn(self, answer: Image, truth: Image, *, parts: int) -> None:
        """Add the gradients of a part of the batch to the heads'; call `move` after the last."""
        self.critic.requires_grad_(True)
        with torch.no_grad():
            real, fake = self._seen(truth), self._seen(answer.detach())
        losses = [relu(1 - one) for one in self.critic(real)], [relu(1 + one) for one in self.critic(fake)]
        (sum(self._mean(part).mean() for part in losses) / parts).backward()  # pyright: ignore

    def move(self, rate: float, *, clip: float) -> None:
        """Take a step at the heads' own rate."""
        del rate
        nn.utils.clip_grad_norm_(self.critic.parameters(), clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _seen(self, image: Image) -> list[Tensor]:
        return [one for view in self.views for one in view.of(image)]

    @staticmethod
    def _mean(judged: Sequence[Tensor]) -> Tensor:
        return torch.stack([one.mean(dim=(1, 2)) for one in judged]).mean(dim=0)


def open_projected(config: AdversaryConfig, *, device: torch.device) -> ProjectedDiscriminator:
    """Load the frozen networks and make fresh heads; CheckpointError when a network is not installed."""
    views = [_view(name, device) for name in config.projected]
    with torch.no_grad():
        probe = torch.zeros(1, 3, 64, 64, device=device)
        channels = [one.shape[1] for view in views for one in view.of(probe)]
    heads = Heads(channels).to(device)
    optimizer = torch.optim.Adam(heads.parameters(), lr=config.rate, betas=(0.5, 0.99))
    return ProjectedDiscriminator(heads, views, optimizer, config.rate)


def _view(name: str, device: torch.device) -> View:
    if name in LITE:
        maps = load_lite_maps(LITE[name], device)
        return View(maps, _ENLARGED if LITE[name] == 1 else 1.0, kept=4)
    return View(load_maps(name, device), 1.0, kept=_KEPT_OF_VGG)
