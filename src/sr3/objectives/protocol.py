"""The protocols of an objective, and of a discriminator that is trained together with the model.

A new objective is a class that follows this protocol, its settings in `sr3.config.objective`, and a case in
`build_objective.py`.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sr3.diffusion.denoiser import Conditioning, Denoiser
from sr3.types import Condition, Gamma, Image

__all__ = ["Discriminator", "Draw", "Example", "Objective"]


class Example(NamedTuple):
    """Part of a batch on the device of the network.

    y0: clean images (b, c, h, w) in [-1, 1]. x: their conditional inputs. given: other conditioning.
    mean: the mean image that the model refines, shape of y0; None for a model without one.
    """

    y0: Image
    x: Condition
    conditioning: Conditioning = ()
    mean: Image | None = None


class Draw(NamedTuple):
    """Everything random about the images of a part: levels, noise and class dropout.

    gamma: levels (b,), float64. eps: standard normal, shape of y0. chance: (b,) in [0, 1), for class dropout.
    place: position of each level in the schedule, in [0, 1), float64; a distillation selects its jumps by it.
    other: noise of a second prediction, for an objective that asks for two.
    """

    gamma: Gamma
    eps: Image
    chance: Tensor
    place: Tensor
    other: Image | None = None


class Discriminator(Protocol):
    """A network that learns to classify real and generated images; weights and optimiser are saved with a run."""

    @property
    def network(self) -> nn.Module:
        """The network."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Its optimiser."""
        ...

    def generator_loss(self, answer: Image) -> Tensor:
        """Compute the generator loss of results (b, c, h, w), shape (b,)."""
        ...

    def accumulate(self, answer: Image, truth: Image, *, parts: int) -> None:
        """Accumulate the network's gradients for one of `parts` parts of a batch; call `step` after the last part."""
        ...

    def step(self, rate: float, *, clip: float) -> None:
        """Take an optimiser step. rate: the model's learning rate; clip: largest norm of the gradient."""
        ...


class Objective(Protocol):
    """A training objective: the loss per image of a part of a batch."""

    @property
    def num_answers(self) -> int:
        """Number of noise tensors per image: 1, or 2 for an objective that compares two predictions."""
        ...

    @property
    def discriminator(self) -> Discriminator | None:
        """The discriminator that is trained together with the model, or None."""
        ...

    def losses(self, denoiser: Denoiser[Any], example: Example, draw: Draw, *, step: int) -> tuple[Tensor, Gamma]:
        """Compute the loss per image, shape (b,), and the level of each, (b,) float64.

        Called under autocast, with the random state of dropout set; everything else random is in `draw`.
        step: optimiser steps taken so far. The training step averages, differentiates and logs the loss by level.
        """
        ...
