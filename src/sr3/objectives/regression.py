"""The objective of the paper's baseline (arXiv:2104.07636, appendix B): one answer to the input, beside the truth.

With recursive supervision the answers after each recursion count too (DRCN, arXiv:1511.04491); with an adversary the
picture is compared with the truth by more than its pixels.
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
    """An `Objective`. steps: of the whole run, over which the supervision falls to 0. adversary: None for pixels alone.

    The levels that were drawn have no part in the loss, and are given back as they are.
    """

    config: RegressionConfig
    steps: int
    adversary: Adversary | None = None
    num_answers: int = 1

    @property
    def discriminator(self) -> Discriminator | None:
        """The adversary's."""
        return self.adversary.discriminator if self.adversary is not None else None

    def losses(self, denoiser: Denoiser[Any], example: Example, draw: Draw, *, step: int) -> tuple[Tensor, Gamma]:
        """Compute the loss of each image, shape (b,), and the level that was drawn."""
        return self._losses(denoiser, example, step), draw.gamma

    def _losses(self, denoiser: Denoiser[Any], example: Example, step: int) -> Tensor:
        y0, x, given, _ = example
        kind = self.config.loss
        if self.adversary is not None:
            state = one_answer(denoiser, y0, x, given=given)
            pixels = self.config.adversary.pixel * answer_loss(denoiser, state, y0, x, kind=kind)
            return pixels + self.adversary.losses_of_state(denoiser, state, y0, x, step=step)
        if share := self.config.supervision * max(0.0, 1 - step / self.steps):
            return supervised_loss(denoiser, y0, x, kind=kind, share=share, given=given)
        return regression_loss(denoiser, y0, x, kind=kind, given=given)
