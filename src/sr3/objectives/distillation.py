"""The objective of a student: match one jump to several teacher steps (arXiv:2202.00512), to the truth, or to both.

The formulas are in `sr3.diffusion.distillation`. This file combines them according to the settings.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sr3.config import DistillationConfig
from sr3.diffusion.denoiser import Conditioning, Denoiser
from sr3.diffusion.distillation import jump_loss, jump_target
from sr3.diffusion.process import diffuse
from sr3.objectives.adversary import Adversary
from sr3.objectives.protocol import Discriminator, Draw, Example
from sr3.types import Gamma, Image

__all__ = ["Distillation", "Teacher"]


@dataclass(frozen=True)
class Teacher:
    """The teacher, and its levels within each jump of the student, shape (steps, teacher_steps + 1).

    clip: whether its predicted images are clipped to [-1, 1].
    is_conditioned: whether it receives the same conditioning as the student.
    """

    denoiser: Denoiser[Any]
    jumps: Tensor
    clip: bool
    is_conditioned: bool = True


@dataclass(frozen=True)
class Distillation:
    """An `Objective`. adversary: None when the teacher's steps are the only target."""

    config: DistillationConfig
    teacher: Teacher
    adversary: Adversary | None = None

    @property
    def num_answers(self) -> int:
        """The number that the adversary settings ask for."""
        return self.config.adversary.samples

    @property
    def discriminator(self) -> Discriminator | None:
        """The discriminator of the adversary."""
        return self.adversary.discriminator if self.adversary is not None else None

    def losses(self, denoiser: Denoiser[Any], example: Example, draw: Draw, *, step: int) -> tuple[Tensor, Gamma]:
        """Compute the loss of one jump per image, shape (b,), and the levels at which the jumps start.

        With an adversary, the image that the jump predicts is also compared with the truth. If the weight of the pixel
        loss is 0, the teacher is not evaluated.
        """
        y0, x = example.y0, example.x
        number = (draw.place * len(self.teacher.jumps)).long()
        levels = self.teacher.jumps[number].T.contiguous()
        clean = torch.where((number == 0).to(y0.device)[:, None, None, None], self._start(example), y0)
        clean = denoiser.encode(clean, x)
        noises = [draw.eps, *([draw.other] if draw.other is not None else [])]
        y_t = torch.cat([diffuse(clean, eps.to(y0.device), levels[0]) for eps in noises])
        count = len(noises)
        x_all, gamma = torch.cat([x] * count), torch.cat([levels[0]] * count)
        output = denoiser(y_t, x_all, gamma, _repeated(example.conditioning, count)).float()
        losses = y0.new_zeros(len(y0))
        if self.adversary is None or self.config.adversary.pixel:
            losses = losses + self._teacher_loss(denoiser, output, y_t, example, levels)
        if self.adversary is not None:
            answer = denoiser.read(output, y_t, gamma).y0
            losses = losses + self.adversary.losses_of_state(denoiser, answer, y0, x_all, step=step)
        return losses, levels[0]

    def _start(self, example: Example) -> Image:
        """Return the clean image that the first jump starts from."""
        return example.y0 if example.mean is None or self.config.start == "noise" else example.mean

    def _teacher_loss(
        self, denoiser: Denoiser[Any], output: Tensor, y_t: Image, example: Example, levels: Tensor
    ) -> Tensor:
        """Average the weighted losses to the teacher's steps, (b,). output, y_t: of all predictions."""
        size, count = len(example.y0), len(y_t) // len(example.y0)
        conditioning = example.conditioning if self.teacher.is_conditioned else ()
        teacher = self.teacher.denoiser.bind(example.x, clip=self.teacher.clip, conditioning=conditioning)
        losses = example.y0.new_zeros(size)
        for one, state in zip(output.split(size), y_t.split(size), strict=True):
            target = jump_target(teacher, state, levels)
            jump = jump_loss(denoiser, one, state, target, gamma=levels[0], kind=self.config.loss)
            losses = losses + self.config.adversary.pixel / count * jump
        return losses


def _repeated(conditioning: Conditioning, count: int) -> Conditioning:
    """Repeat the conditioning for every prediction of an image."""
    if not conditioning:
        return ()
    return conditioning._replace(**{name: torch.cat([part] * count) for name, part in conditioning._asdict().items()})
