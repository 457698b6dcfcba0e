"""A discriminator of heads on frozen features: Projected GAN (arXiv:2111.01007) with a hinge loss."""

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
"""Factor by which images are enlarged for EfficientNet-lite1, as where features of patches are compared.

EfficientNet-lite2 receives images at their own size, so the heads classify texture at two scales."""
_KEPT_OF_VGG = 3
"""Number of ST-LPIPS feature maps that have a head: the finest ones."""


@dataclass(frozen=True)
class View:
    """A frozen feature network, the factor by which its input is enlarged, and how many of its maps have a head."""

    maps: Maps
    enlarged: float
    kept: int

    def of(self, image: Image) -> Sequence[Tensor]:
        """Compute the feature maps of images (b, 3, h, w) in [-1, 1]."""
        if self.enlarged != 1:
            size = [round(side * self.enlarged) for side in image.shape[-2:]]
            image = interpolate(image, size=size, mode="bilinear", align_corners=False)
        return self.maps(image)[: self.kept]


@dataclass(frozen=True)
class ProjectedDiscriminator:
    """The heads, their feature networks and their optimiser; heads and optimiser are saved with the run."""

    network: Heads
    views: Sequence[View]
    optimizer: torch.optim.Optimizer
    rate: float

    def generator_loss(self, answer: Image) -> Tensor:
        """Compute the generator loss: minus the mean logit over positions and heads, shape (b,)."""
        self.network.requires_grad_(False)  # this loss trains the generator only
        return -self._mean(self.network(self._features(answer)))

    def accumulate(self, answer: Image, truth: Image, *, parts: int) -> None:
        """Accumulate the gradients of the heads for a part of the batch; call `step` after the last part."""
        self.network.requires_grad_(True)
        with torch.no_grad():
            real, fake = self._features(truth), self._features(answer.detach())
        losses = [relu(1 - one) for one in self.network(real)], [relu(1 + one) for one in self.network(fake)]
        (sum(self._mean(part).mean() for part in losses) / parts).backward()  # pyright: ignore

    def step(self, rate: float, *, clip: float) -> None:
        """Take an optimiser step at the heads' own learning rate."""
        del rate
        nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _features(self, image: Image) -> list[Tensor]:
        return [one for view in self.views for one in view.of(image)]

    @staticmethod
    def _mean(logits: Sequence[Tensor]) -> Tensor:
        return torch.stack([one.mean(dim=(1, 2)) for one in logits]).mean(dim=0)


def open_projected(config: AdversaryConfig, *, device: torch.device) -> ProjectedDiscriminator:
    """Load the frozen networks and initialise new heads; CheckpointError when a network is not installed."""
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
