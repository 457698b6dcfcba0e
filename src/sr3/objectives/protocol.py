"""What the training step asks of an objective, and of a discriminator that learns beside the model.

A new objective is a class of this protocol, its settings in `sr3.config.objective`, and a case in `build_objective.py`.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import Denoiser, Told
from sr3.types import Condition, Gamma, Image

__all__ = ["Discriminator", "Draw", "Example", "Objective"]


class Example(NamedTuple):
    """Part of a batch as the network sees it, on its device.

    y0: clean images (b, c, h, w) in [-1, 1]. x: their conditions. given: what else the network is told.
    mean: the picture of the mean that the model refines, shape of y0; None for a model without one.
    """

    y0: Image
    x: Condition
    given: Told = ()
    mean: Image | None = None


class Draw(NamedTuple):
    """Everything random about the images of a part: levels, noise, and whether each one's class is hidden.

    gamma: levels (b,), float64. eps: standard normal, shape of y0. chance: (b,) in [0, 1).
    place: where in the schedule each level lies, in [0, 1), float64; a distillation chooses its jumps by it.
    other: noise of a second answer, of an objective that asks for two.
    """

    gamma: Gamma
    eps: Image
    chance: Tensor
    place: Tensor
    other: Image | None = None


class Discriminator(Protocol):
    """A network that learns to tell images from the model's results; its weights and optimiser are saved with a run."""

    @property
    def critic(self) -> nn.Module:
        """The network."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Its optimiser."""
        ...

    def fooled(self, answer: Image) -> Tensor:
        """Measure how far results (b, c, h, w) are from being taken for images, shape (b,): the generator loss."""
        ...

    def learn(self, answer: Image, truth: Image, *, parts: int) -> None:
        """Add the gradients of one of `parts` parts of a batch to the network's own; call `move` after the last."""
        ...

    def move(self, rate: float, *, clip: float) -> None:
        """Take an optimiser step. rate: the model's learning rate; clip: largest norm of the gradient."""
        ...


class Objective(Protocol):
    """What is learnt: a loss for each image of a part of a batch."""

    @property
    def num_answers(self) -> int:
        """Noises that are drawn for each image: 1, or 2 for an objective that compares two answers."""
        ...

    @property
    def discriminator(self) -> Discriminator | None:
        """The network that learns beside the model; None where there is none."""
        ...

    def losses(self, denoiser: Denoiser[Any], example: Example, draw: Draw, *, step: int) -> tuple[Tensor, Gamma]:
        """Compute the loss of each image, shape (b,), and the level at which it was asked, (b,) float64.

        Called under autocast, with the random state of dropout set; everything else random is in `draw`.
        step: optimiser steps that were taken. The step averages, differentiates and logs by level.
        """
        ...
