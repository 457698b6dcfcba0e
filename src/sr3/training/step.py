"""One optimiser step (SR3, arXiv:2104.07636, Algorithm 1, lines 2 to 5), in one process or several.

Everything random is a function of (seed, step, index in the global batch), so the step does not depend on how the batch
is split among processes and into parts. Only dropout also depends on the process and the part.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.build import Network
from sr3.config import Config
from sr3.data.loader import Batch
from sr3.diffusion.denoiser import ClassAndLevel, Conditioning, Denoiser, LowResInput, MeanFeatures
from sr3.diffusion.noise import draw_noise, mix_seed
from sr3.diffusion.schedule import draw_gamma
from sr3.errors import TrainingError
from sr3.objectives.protocol import Draw, Example, Objective
from sr3.runtime.device import training_dtype
from sr3.training.events import Stopped, Stops
from sr3.training.mean import with_mean
from sr3.training.processes import Processes
from sr3.types import Gamma, Image

__all__ = ["BANDS", "Learner", "StepMetrics", "build_conditioning", "draw_for", "split_batch", "take_step"]

_NOISE_STREAM, _DROPOUT_STREAM = 1, 3

BANDS = (0.1, 0.5, 0.9)
"""Boundaries, in gamma, of the bands of noise levels by which the loss is reported."""


class StepMetrics(NamedTuple):
    """Mean loss of a step; per band of noise levels, the sum of the losses and the number of images."""

    loss: float
    bands: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Learner:
    """The objects of a training step. The denoiser holds the wrapped network, `network` is the unwrapped one."""

    config: Config
    processes: Processes
    denoiser: Denoiser[Network]
    network: Network
    optimizer: torch.optim.Optimizer
    gammas: Tensor
    scaler: torch.amp.GradScaler
    objective: Objective

    @property
    def parts(self) -> list[range]:
        """Indices in the global batch of each part that this process computes."""
        training = self.config.training
        return split_batch(
            training.batch, rank=self.processes.rank, count=self.processes.count, accumulate=training.accumulate
        )


def split_batch(batch: int, *, rank: int, count: int, accumulate: int) -> list[range]:
    """Split a global batch among processes, then into parts; TrainingError when it cannot be split evenly."""
    if batch % (count * accumulate):
        raise TrainingError(
            f"training.batch {batch} cannot be split evenly among {count} processes with {accumulate} parts each; "
            f"set it to a multiple of {count * accumulate}"
        )
    size = batch // (count * accumulate)
    first = rank * size * accumulate
    return [range(first + part * size, first + (part + 1) * size) for part in range(accumulate)]


def draw_for(config: Config, gammas: Tensor, step: int, places: range, like: Image, *, num_answers: int = 1) -> Draw:
    """Draw level, noise and class dropout per image of like, (b, c, h, w), seeded by step and index in the batch.

    With data.feed device, the noise of the global batch is drawn on the device, whatever the part.
    num_answers: noise tensors per image, 1 or 2.
    """
    shape = like.shape[1:]
    if config.data.feed == "device":
        return _draw_on(config, gammas, step, slice(places.start, places.stop), like, num_answers=num_answers)
    levels: list[Tensor] = []
    noises: list[Tensor] = []
    chances: list[Tensor] = []
    others: list[Tensor] = []
    for place in places:
        generator = torch.Generator().manual_seed(mix_seed(config.training.seed, _NOISE_STREAM, step, place))
        levels.append(torch.rand(2, generator=generator, dtype=torch.float64))
        noises.append(draw_noise(shape, generator))
        chances.append(torch.rand((), generator=generator))
        if num_answers > 1:
            others.append(draw_noise(shape, generator))
    uniform = torch.stack(levels)
    gamma = draw_gamma(gammas, uniform, space=config.schedule.draw)
    other = torch.stack(others) if others else None
    return Draw(gamma, torch.stack(noises), torch.stack(chances), uniform[:, 0], other)


def _draw_on(config: Config, gammas: Tensor, step: int, part: slice, like: Image, *, num_answers: int) -> Draw:
    device, shape = like.device, like.shape[1:]
    seed, batch = mix_seed(config.training.seed, _NOISE_STREAM, step), config.training.batch
    here = torch.Generator().manual_seed(seed)
    uniform = torch.rand(batch, 2, generator=here, dtype=torch.float64)[part]
    chance = torch.rand(batch, generator=here)[part]
    there = torch.Generator(device).manual_seed(seed)
    eps = torch.randn((batch, *shape), generator=there, device=device)[part]
    other = None
    if num_answers > 1:
        other = torch.randn((batch, *shape), generator=there, device=device)[part]
    return Draw(draw_gamma(gammas, uniform, space=config.schedule.draw), eps, chance, uniform[:, 0], other)


def build_conditioning(config: Config, batch: Batch, chance: Tensor) -> Conditioning:
    """Build the conditioning besides x; classes are dropped where chance, (b,) in [0, 1), is below class_dropout."""
    if config.network.sees_low_res:
        return LowResInput(batch.low_res)
    if not (config.network.classes or config.network.condition_level):
        return ()
    hidden = chance < config.data.class_dropout
    return ClassAndLevel(batch.labels.masked_fill(hidden, config.network.classes), batch.levels)


def take_step(
    learner: Learner, batches: Sequence[Batch], *, step: int, rate: float, stops: Stops = lambda: False
) -> StepMetrics:
    """Take an optimiser step. rate: learning rate. batches: the parts of this process, in order.

    stops: checked between two parts when a single process trains; raises Stopped when it returns true. Raises
    TrainingError in every process when the loss of any process is not finite. The weights are then unchanged.
    """
    config, processes = learner.config, learner.processes
    discriminator = learner.objective.discriminator
    sums = torch.zeros(len(BANDS) + 1, 2, dtype=torch.float64)
    for part, (places, batch) in enumerate(zip(learner.parts, batches, strict=True)):
        if part and processes.count == 1 and stops():
            _drop_gradients(learner)
            raise Stopped
        last = part + 1 == len(batches)
        with nullcontext() if last else processes.accelerator.no_sync(learner.denoiser.network):
            losses, gamma = _losses(learner, batch, places, step, part)
            learner.scaler.scale(losses.mean() / len(batches)).backward()
        band = torch.bucketize(gamma, torch.tensor(BANDS, dtype=torch.float64), right=True)
        sums[:, 0].index_add_(0, band, losses.detach().double().cpu())
        sums[:, 1].index_add_(0, band, torch.ones_like(gamma))
    sums = processes.total(sums)
    loss = float(sums[:, 0].sum() / sums[:, 1].sum())
    if not math.isfinite(loss):
        _drop_gradients(learner)
        raise TrainingError(
            f"step {step}: the loss is {loss}; the last checkpoint is unchanged: lower optimizer.learning_rate "
            "and run the same command again"
        )
    learner.scaler.unscale_(learner.optimizer)
    torch.nn.utils.clip_grad_norm_(learner.denoiser.network.parameters(), config.optimizer.clip)
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    if discriminator is not None:
        discriminator.step(rate, clip=config.optimizer.clip)
    return StepMetrics(loss, tuple((float(total), int(count)) for total, count in sums.tolist()))


def _drop_gradients(learner: Learner) -> None:
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.objective.discriminator is not None:
        learner.objective.discriminator.optimizer.zero_grad(set_to_none=True)


def _losses(learner: Learner, batch: Batch, places: range, step: int, part: int) -> tuple[Tensor, Gamma]:
    """Compute the loss per image of a part."""
    config, device, training = learner.config, learner.processes.device, learner.config.training
    batch = batch._replace(low_res=batch.low_res.to(device), y0=batch.y0.to(device), x=batch.x.to(device))
    batch, mean = with_mean(learner.denoiser, config, batch)
    y0, x = (image.contiguous(memory_format=torch.channels_last) for image in (batch.y0, batch.x))
    draw = draw_for(config, learner.gammas, step, places, y0, num_answers=learner.objective.num_answers)
    conditioning = build_conditioning(config, batch, draw.chance)
    if mean is not None and config.network.guide:
        conditioning = MeanFeatures(mean.features)
    dtype = training_dtype(training.precision, device)
    autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), autocast:
        torch.manual_seed(mix_seed(training.seed, _DROPOUT_STREAM, step, learner.processes.rank, part))
        example = Example(y0, x, conditioning, mean.picture if mean is not None else None)
        return learner.objective.losses(learner.denoiser, example, draw, step=step)
