"""Perceptual, texture and adversarial losses, and the discriminator of EnhanceNet.

Source: EnhanceNet, arXiv:1612.07919, section 4.2: perceptual loss (4.2.2), texture matching loss (4.2.3) and
adversarial training (4.2.4). As in the paper, features are normalised to a mean activation of one. Three choices are
ours: the mean is that of the ground truth of each pair, errors are averaged and not summed, and both losses use the
same feature maps with equal weights. Nothing here is random.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from sr3.config import AdversaryConfig
from sr3.diffusion.denoiser import Denoiser
from sr3.images.flatness import flatness
from sr3.images.resize import downsample
from sr3.metrics.maps import Maps
from sr3.metrics.stlpips import root_distance
from sr3.networks.discriminator import DiscriminatorNet
from sr3.objectives.grain import grain_loss
from sr3.objectives.protocol import Discriminator
from sr3.types import Condition, Image

__all__ = [
    "Adversary",
    "EnhanceNetDiscriminator",
    "discriminator_loss",
    "energy_loss",
    "gram_matrices",
    "perceptual_loss",
    "texture_loss",
]

_TINY = 1e-6


@dataclass(frozen=True)
class EnhanceNetDiscriminator:
    """A `Discriminator` that classifies photographs and generated images.

    max_accuracy: accuracy above which a part of the batch does not train the network.
    """

    network: DiscriminatorNet
    optimizer: torch.optim.Optimizer
    max_accuracy: float

    def generator_loss(self, answer: Image) -> Tensor:
        """Compute the generator loss -log D of each result (section 4.2.4), shape (b,)."""
        self.network.requires_grad_(False)  # this loss trains the generator only
        return softplus(-self.network(answer))

    def accumulate(self, answer: Image, truth: Image, *, parts: int) -> None:
        """Accumulate the discriminator's gradients for a part of the batch; call `step` after the last part."""
        self.network.requires_grad_(True)
        real, fake = self.network(truth), self.network(answer.detach())
        right = torch.minimum((real > 0).double().mean(), (fake < 0).double().mean())
        if float(right) <= self.max_accuracy:
            (discriminator_loss(real, fake).mean() / parts).backward()

    def step(self, rate: float, *, clip: float) -> None:
        """Take an optimiser step, unless the accuracy was too high in every part of the batch."""
        if any(parameter.grad is not None for parameter in self.network.parameters()):
            nn.utils.clip_grad_norm_(self.network.parameters(), clip)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Adversary:
    """All losses other than the pixel loss."""

    config: AdversaryConfig
    maps: Maps | None
    discriminator: Discriminator | None
    heads: Sequence[Tensor] = ()
    """Channel weights of the feature maps in the learned distance."""
    parts: int = 1
    """Parts of a batch over which the discriminator accumulates gradients."""
    scale: int = 1
    """Magnification of the model, by which images are reduced for their consistency."""

    def losses_of_state(self, denoiser: Denoiser[Any], state: Image, y0: Image, x: Condition, *, step: int) -> Tensor:
        """Decode a clean state, compare the image with the truth, (b,), and accumulate the discriminator's gradients.

        state, x: of all predictions, in the order that `losses` takes. y0: the truth of each image once.
        """
        with torch.autocast(y0.device.type, enabled=False):
            answer = denoiser.decode(state.float(), x)
            losses = self.losses(answer, y0, step=step)
            if self.discriminator is not None:
                self.discriminator.accumulate(answer, y0, parts=self.parts)
        return losses

    def losses(self, answers: Image, truth: Image, *, step: int = 0) -> Tensor:
        """Compute the weighted sum of the losses, shape (b,).

        answers: predictions (k b, c, h, w): the first one of every truth, then the second one if k is 2.
        step: optimiser steps of the run so far.
        """
        config, count = self.config, len(answers) // len(truth)
        total = answers.new_zeros(len(truth))
        if config.truth:
            absolute = partial(_absolute, weight=1 + config.flat * flatness(truth)) if config.flat else _absolute
            total = total + config.truth * energy_loss(absolute, answers.split(len(truth)), truth, config.diversity)
        if config.grain:
            parts = [grain_loss(answer, truth) for answer in answers.split(len(truth))]
            total = total + config.grain * torch.stack(parts).mean(dim=0)
        if config.consistency:
            small = downsample(truth, self.scale)
            parts = [_absolute(downsample(answer, self.scale), small) for answer in answers.split(len(truth))]
            total = total + config.consistency * torch.stack(parts).mean(dim=0)
        if self.maps is not None:
            with torch.no_grad():
                target = self.maps(truth)
            both = self.maps(answers)
            predicted = [[one.split(len(truth))[k] for one in both] for k in range(count)]
            total = total + self._feature_losses(predicted, target, patch_share=config.patch / truth.shape[-1])
        if self.discriminator is not None and step >= config.start_step:
            total = total + config.adversarial * self.discriminator.generator_loss(answers).reshape(count, -1).mean(
                dim=0
            )
        return total

    def _feature_losses(
        self, predicted: Sequence[Sequence[Tensor]], target: Sequence[Tensor], *, patch_share: float
    ) -> Tensor:
        """Compare the feature maps of each prediction with those of the truth."""
        config, total = self.config, target[0].new_zeros(len(target[0]))
        if config.learned:
            distance = partial(root_distance, heads=[head.to(target[0]) for head in self.heads])
            total = total + config.learned * energy_loss(distance, predicted, target, config.diversity)
        for maps in predicted:
            if config.perceptual:
                total = total + config.perceptual / len(predicted) * perceptual_loss(maps, target)
            if config.texture:
                total = total + config.texture / len(predicted) * texture_loss(maps, target, share=patch_share)
        return total


T = TypeVar("T")


def energy_loss(distance: Callable[[T, T], Tensor], answers: Sequence[T], truth: T, diversity: float) -> Tensor:
    """Average the distance of predictions to the truth, less diversity / 2 times the distance of two of them, (b,).

    With diversity 1 and a vector norm it is an unbiased estimate of the energy score (Gneiting and Raftery 2007,
    Eq. 21).
    """
    near = torch.stack([distance(answer, truth) for answer in answers]).mean(dim=0)
    return near - diversity / 2 * distance(answers[0], answers[1]) if diversity else near


def _absolute(one: Image, other: Image, *, weight: Tensor | float = 1.0) -> Tensor:
    return ((one - other).abs() * weight).mean(dim=(1, 2, 3))


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Compute -log D of photographs plus -log (1 - D) of results, from logits (b,) (section 4.2.4)."""
    return softplus(-real) + softplus(fake)


def perceptual_loss(predicted: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Compute the mean squared error of normalised feature maps, mean over maps, shape (b,) (section 4.2.2)."""
    return torch.stack(
        [(one - other).square().mean(dim=(1, 2, 3)) for one, other in _normalised(predicted, target)]
    ).mean(0)


def texture_loss(predicted: Sequence[Tensor], target: Sequence[Tensor], *, share: float) -> Tensor:
    """Compute the error of the Gram matrices of patches of normalised maps, mean over maps, (b,) (section 4.2.3).

    share: side of a patch as a fraction of the side of the image.
    """
    differences = [
        (gram_matrices(one, share=share) - gram_matrices(other, share=share)).square().mean(dim=(1, 2, 3))
        for one, other in _normalised(predicted, target)
    ]
    return torch.stack(differences).mean(0)


def gram_matrices(features: Tensor, *, share: float) -> Tensor:
    """Compute the Gram matrix of every patch of a feature map (b, c, h, w), mean over pixels: (b, patches, c, c)."""
    b, c, h, w = features.shape
    side = max(1, min(h, w, round(share * w)))
    rows, columns = h // side, w // side
    cut = features[..., : rows * side, : columns * side].reshape(b, c, rows, side, columns, side)
    patches = cut.permute(0, 2, 4, 1, 3, 5).reshape(b, rows * columns, c, side * side)
    return patches @ patches.transpose(-1, -2) / side**2


def _normalised(predicted: Sequence[Tensor], target: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Divide both maps of each pair by the truth's mean activation."""
    for one, other in zip(predicted, target, strict=True):
        mean = other.abs().mean(dim=(1, 2, 3), keepdim=True) + _TINY
        yield one / mean, other / mean
