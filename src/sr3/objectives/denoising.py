"""The objective of SR3 (arXiv:2104.07636, Eq. 6 and Algorithm 1): denoise at a random level."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sr3.config import DenoisingConfig
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.objective import denoising_loss
from sr3.objectives.protocol import Draw, Example
from sr3.types import Gamma

__all__ = ["Denoising"]


@dataclass(frozen=True)
class Denoising:
    """An `Objective`: the denoising loss at the drawn levels, with the drawn noise."""

    config: DenoisingConfig
    num_answers: int = 1
    discriminator: None = None

    def losses(self, denoiser: Denoiser[Any], example: Example, draw: Draw, *, step: int) -> tuple[Tensor, Gamma]:
        """Compute the loss per image, shape (b,), and its level."""
        del step
        y0, x, conditioning, _ = example
        eps = draw.eps.to(y0.device)
        losses = denoising_loss(
            denoiser, y0, x, eps=eps, gamma=draw.gamma, kind=self.config.loss, conditioning=conditioning
        )
        return losses, draw.gamma
