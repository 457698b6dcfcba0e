"""Losses that look at more than pixels, and the discriminator of EnhanceNet, which learns beside the model.

Source: EnhanceNet, arXiv:1612.07919, section 4.2: perceptual loss (4.2.2), texture matching (4.2.3) and adversarial
training (4.2.4). There, too, features have a mean activation of one; that it is the mean of this truth, that errors are
means and not sums, and that both losses take the same maps with equal weights is ours. Nothing here is random.
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
from sr3.metrics.maps import Maps
from sr3.metrics.stlpips import root_distance
from sr3.networks.critic import Critic
from sr3.objectives.flatness import grain_loss
from sr3.objectives.protocol import Discriminator
from sr3.types import Condition, Image

__all__ = [
    "Adversary",
    "EnhanceNetDiscriminator",
    "critic_loss",
    "energy_loss",
    "gram_matrices",
    "perceptual_loss",
    "texture_loss",
]

_TINY = 1e-6


@dataclass(frozen=True)
class EnhanceNetDiscriminator:
    """A `Discriminator`: the network that tells photographs from results, and its optimiser."""

    critic: Critic
    optimizer: torch.optim.Optimizer
    most_right: float

    def fooled(self, answer: Image) -> Tensor:
        """Measure how far each result is from being taken for a photograph: -log D (section 4.2.4), shape (b,)."""
        self.critic.requires_grad_(False)  # the loss is the model's, not the network's
        return softplus(-self.critic(answer))

    def learn(self, answer: Image, truth: Image, *, parts: int) -> None:
        """Add the gradients of a part of the batch to the critic's; call `move` after the last."""
        self.critic.requires_grad_(True)
        real, fake = self.critic(truth), self.critic(answer.detach())
        right = torch.minimum((real > 0).double().mean(), (fake < 0).double().mean())
        if float(right) <= self.most_right:
            (critic_loss(real, fake).mean() / parts).backward()

    def move(self, rate: float, *, clip: float) -> None:
        """Take a step, unless all parts were told too well to learn from."""
        if any(parameter.grad is not None for parameter in self.critic.parameters()):
            nn.utils.clip_grad_norm_(self.critic.parameters(), clip)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Adversary:
    """All losses beside the pixels'."""

    config: AdversaryConfig
    maps: Maps | None
    discriminator: Discriminator | None
    heads: Sequence[Tensor] = ()
    """Weights of the channels of the maps in the learned distance."""
    parts: int = 1
    """Parts of a batch, whose gradients the discriminator adds up."""

    def losses_of_state(self, denoiser: Denoiser[Any], state: Image, y0: Image, x: Condition, *, step: int) -> Tensor:
        """Compare the picture of a clean state with the truth, (b,); the discriminator's gradients are added.

        state, x: of all answers, as for `losses`; y0: the truth of each image once.
        """
        with torch.autocast(y0.device.type, enabled=False):
            answer = denoiser.decode(state.float(), x)
            losses = self.losses(answer, y0, step=step)
            if self.discriminator is not None:
                self.discriminator.learn(answer, y0, parts=self.parts)
        return losses

    def losses(self, answers: Image, truth: Image, *, step: int = 0) -> Tensor:
        """Weigh and sum the losses of results beside their truths, shape (b,).

        answers: (k b, c, h, w), the first of every truth, then perhaps the second of every one. step: of the run.
        """
        config, count = self.config, len(answers) // len(truth)
        total = answers.new_zeros(len(truth))
        if config.truth:
            absolute = partial(_absolute, weight=1 + config.flat * flatness(truth)) if config.flat else _absolute
            total = total + config.truth * energy_loss(absolute, answers.split(len(truth)), truth, config.apart)
        if config.grain:
            parts = [grain_loss(answer, truth) for answer in answers.split(len(truth))]
            total = total + config.grain * torch.stack(parts).mean(dim=0)
        if self.maps is not None:
            with torch.no_grad():
                wanted = self.maps(truth)
            both = self.maps(answers)
            found = [[one.split(len(truth))[k] for one in both] for k in range(count)]
            total = total + self._of_features(found, wanted, patch_share=config.patch / truth.shape[-1])
        if self.discriminator is not None and step >= config.begins:
            total = total + config.adversarial * self.discriminator.fooled(answers).reshape(count, -1).mean(dim=0)
        return total

    def _of_features(
        self, found: Sequence[Sequence[Tensor]], wanted: Sequence[Tensor], *, patch_share: float
    ) -> Tensor:
        """Compare the maps of each answer with those of the truth."""
        config, total = self.config, wanted[0].new_zeros(len(wanted[0]))
        if config.learned:
            distance = partial(root_distance, heads=[head.to(wanted[0]) for head in self.heads])
            total = total + config.learned * energy_loss(distance, found, wanted, config.apart)
        for maps in found:
            if config.perceptual:
                total = total + config.perceptual / len(found) * perceptual_loss(maps, wanted)
            if config.texture:
                total = total + config.texture / len(found) * texture_loss(maps, wanted, share=patch_share)
        return total


T = TypeVar("T")


def energy_loss(distance: Callable[[T, T], Tensor], answers: Sequence[T], truth: T, apart: float) -> Tensor:
    """Average the distance of answers to the truth, less a share of half that of two answers to each other, (b,).

    With apart 1 and a distance of vectors it is the energy score (Gneiting and Raftery 2007, Eq. 21), without bias.
    """
    near = torch.stack([distance(answer, truth) for answer in answers]).mean(dim=0)
    return near - apart / 2 * distance(answers[0], answers[1]) if apart else near


def _absolute(one: Image, other: Image, *, weight: Tensor | float = 1.0) -> Tensor:
    return ((one - other).abs() * weight).mean(dim=(1, 2, 3))


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Sum -log D of photographs and -log (1 - D) of results, from logits (b,) (section 4.2.4)."""
    return softplus(-real) + softplus(fake)


def perceptual_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Compare normalised maps by their mean squared difference, mean over maps, shape (b,) (section 4.2.2)."""
    return torch.stack([(one - other).square().mean(dim=(1, 2, 3)) for one, other in _normalised(found, wanted)]).mean(
        0
    )


def texture_loss(found: Sequence[Tensor], wanted: Sequence[Tensor], *, share: float) -> Tensor:
    """Compare Gram matrices of patches of normalised maps, mean over maps, shape (b,) (section 4.2.3).

    share: side of a patch over the side of the picture.
    """
    differences = [
        (gram_matrices(one, share=share) - gram_matrices(other, share=share)).square().mean(dim=(1, 2, 3))
        for one, other in _normalised(found, wanted)
    ]
    return torch.stack(differences).mean(0)


def gram_matrices(features: Tensor, *, share: float) -> Tensor:
    """Multiply the channels with each other in every patch of a map (b, c, h, w): shape (b, patches, c, c), mean."""
    b, c, h, w = features.shape
    side = max(1, min(h, w, round(share * w)))
    rows, columns = h // side, w // side
    cut = features[..., : rows * side, : columns * side].reshape(b, c, rows, side, columns, side)
    patches = cut.permute(0, 2, 4, 1, 3, 5).reshape(b, rows * columns, c, side * side)
    return patches @ patches.transpose(-1, -2) / side**2


def _normalised(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Divide both maps of each pair by the truth's mean activation."""
    for one, other in zip(found, wanted, strict=True):
        mean = other.abs().mean(dim=(1, 2, 3), keepdim=True) + _TINY
        yield one / mean, other / mean
