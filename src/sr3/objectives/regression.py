"""The objective of the paper's regression baseline (arXiv:2104.07636, appendix B): predict the truth in one call.

With recursive supervision the predictions after each recursion are supervised too (DRCN, arXiv:1511.04491). With an
adversary the image is also compared with the truth by feature and adversarial losses.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sr3.config import RegressionConfig
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.objective import answer_loss, one_answer, regression_loss, supervised_loss
from sr3.objectives.adversary import Adversary
from sr3.objectives.protocol import Discriminator, Draw, Example
from sr3.types import Gamma

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression:
    """An `Objective`.

    steps: length of the run, over which the weight of the supervision falls to 0.
    adversary: None for pixel losses only.
    The loss does not depend on the drawn levels, which are returned unchanged.
    """

    config: RegressionConfig
    steps: int
    adversary: Adversary | None = None
    num_answers: int = 1

    @property
    def discriminator(self) -> Discriminator | None:
        """The discriminator of the adversary."""
        return self.adversary.discriminator if self.adversary is not None else None

    def losses(self, denoiser: Denoiser[Any], example: Example, draw: Draw, *, step: int) -> tuple[Tensor, Gamma]:
        """Compute the loss per image, shape (b,), and the drawn level."""
        return self._losses(denoiser, example, step), draw.gamma

    def _losses(self, denoiser: Denoiser[Any], example: Example, step: int) -> Tensor:
        y0, x, conditioning, _ = example
        kind = self.config.loss
        if self.adversary is not None:
            state = one_answer(denoiser, y0, x, conditioning=conditioning)
            pixels = self.config.adversary.pixel * answer_loss(denoiser, state, y0, x, kind=kind)
            return pixels + self.adversary.losses_of_state(denoiser, state, y0, x, step=step)
        if share := self.config.supervision * max(0.0, 1 - step / self.steps):
            return supervised_loss(denoiser, y0, x, kind=kind, share=share, conditioning=conditioning)
        return regression_loss(denoiser, y0, x, kind=kind, conditioning=conditioning)
