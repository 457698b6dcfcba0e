"""Validation metrics and sample images on held-out images."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.atomic import whole_file
from sr3.config import Config, SamplingConfig
from sr3.data.dataset import PairDataset
from sr3.data.pairs import Pair
from sr3.diffusion.denoiser import Given
from sr3.diffusion.noise import draw_noise, mix_seed
from sr3.diffusion.objective import denoising_loss
from sr3.diffusion.schedule import draw_gamma
from sr3.images.files import to_pillow
from sr3.metrics.distortion import consistency, psnr, sharpness
from sr3.metrics.energy import gradient_energy_score
from sr3.sampling.generator import PictureGenerator
from sr3.sampling.upscaler import Upscaler
from sr3.training.events import Stopped, Stops
from sr3.types import Image

__all__ = ["SIDE", "validate", "validate_generator"]

SIDE = 256
"""Pixels a side of the middle of each held-out image that is measured, so that large photographs take no longer."""

_SHEET_ROWS = 6
_SHEET_SAMPLES = 16
_LOSS_DRAWS = 8
"""Levels at which the loss of each held-out image is taken."""


def validate(
    upscaler: Upscaler,
    held_out: PairDataset,
    sampling: SamplingConfig,
    *,
    sheet: Path,
    samples: int = 1,
    stops: Stops = lambda: False,
) -> dict[str, float]:
    """Upscale the middles of the held-out images, compare them with the truth and bicubic; means over images.

    Writes a sheet of pictures: enlarged input, sample, truth. The figures are PSNR in dB and sharpness as a share of
    the truth's, of samples as the settings make them, PSNR of the enlarged input, and consistency with and without the
    correction of low frequencies ([0, 1] range, squared); those that compare with the input are left out where it is
    not smaller than the result, or has other channels. samples: with 2, two are drawn of each and the energy score
    x1000 of their gradients is taken; a regression has only one. stops: asked after every step of sampling; Stopped is
    raised, and nothing written, when it tells so.
    """
    raw_sampling = sampling.model_copy(update={"correct": False})
    rows: list[list[Tensor]] = []
    figures: list[dict[str, float]] = []
    channels = len(_shown(held_out.centre(0, SIDE).y0))
    for index in range(len(held_out)):
        pair = held_out.centre(index, SIDE)
        y0, x, low_res = pair.y0[None], pair.x[None], pair.low_res[None]
        raw = _until(upscaler.samples(low_res, sampling=raw_sampling, seeds=[index]), stops).cpu()
        compared = _beside_input(upscaler, raw, pair)
        sample = compared.corrected if sampling.correct else raw
        figures.append(
            {
                "psnr": float(psnr(sample, y0)),
                **compared.figures,
                "sharpness": float(sharpness(sample) / sharpness(y0).clamp(min=1e-6)),
            }
        )
        if samples > 1 and sampling.sampler != "regression":
            seeds = [len(held_out) + index]
            other = _until(upscaler.samples(low_res, sampling=sampling, seeds=seeds), stops).cpu()
            score = gradient_energy_score(torch.stack([sample, other]), y0)
            figures[-1]["gradient_energy"] = 1000 * float(score)
        if len(rows) < _SHEET_ROWS:
            rows.append([_in_channels(image[0], channels) for image in (x.clamp(-1, 1), sample, y0)])
    side = max(length for row in rows for length in row[0].shape[1:])
    squares = [torch.cat([_square(image, side) for image in row], dim=-1) for row in rows]
    with whole_file(sheet) as temporary:
        to_pillow(_shown(torch.cat(squares, dim=-2))).save(temporary)
    return {name: sum(figure[name] for figure in figures) / len(figures) for name in figures[0]}


class _Beside(NamedTuple):
    """A sample with its low frequencies matched to the input, where it can be, and how the two compare."""

    corrected: Image
    figures: dict[str, float]


def _beside_input(upscaler: Upscaler, raw: Image, pair: Pair) -> _Beside:
    """Compare a sample with its input: as a picture, if it has as many channels, and shrunk, if it is larger."""
    y0, x, low_res = pair.y0[None], pair.x[None], pair.low_res[None]
    if len(pair.x) != len(pair.y0):
        return _Beside(raw, {})
    figures = {"psnr_bicubic": float(psnr(x.clamp(-1, 1), y0))}
    if upscaler.scale == 1:
        return _Beside(raw, figures)
    corrected = upscaler.correct(raw, low_res)
    figures["consistency"] = float(consistency(corrected, low_res))
    figures["consistency_uncorrected"] = float(consistency(raw, low_res))
    return _Beside(corrected, figures)


def _until(steps: Iterator[Image], stops: Stops) -> Image:
    """Walk to the last picture; Stopped when that is told on the way."""

    def watched() -> Iterator[Image]:
        for image in steps:
            if stops():
                raise Stopped
            yield image

    return deque(watched(), maxlen=1)[0]


def validate_generator(
    generator: PictureGenerator,
    held_out: PairDataset,
    config: Config,
    *,
    gammas: Tensor,
    sheet: Path,
    stops: Stops = lambda: False,
) -> dict[str, float]:
    """Measure the loss on held-out images at fixed draws, and the sharpness of 16 samples as a share of the truth's.

    Writes a sheet of the samples; with classes, the first ones in turn. stops: as for `validate`.
    """
    denoiser, device = generator.denoiser, generator.device
    truths = [held_out.centre(index, generator.side) for index in range(len(held_out))]
    losses: list[float] = []
    for index, pair in enumerate(truths):
        if stops():
            raise Stopped
        draws = torch.Generator().manual_seed(mix_seed(index))
        gamma = draw_gamma(
            gammas, torch.rand(_LOSS_DRAWS, 2, generator=draws, dtype=torch.float64), space=config.schedule.draw
        )
        y0 = pair.y0.expand(_LOSS_DRAWS, -1, -1, -1).to(device)
        eps = draw_noise(y0.shape, draws).to(device)
        labels = torch.full((_LOSS_DRAWS,), pair.label)
        given = Given(labels, torch.ones_like(gamma)) if generator.classes else ()
        with torch.no_grad():
            loss = denoising_loss(
                denoiser, y0, y0[:, :0], eps=eps, gamma=gamma, kind=config.objective.loss, given=given
            )
        losses.append(float(loss.mean()))
    labels = [seed % generator.classes if generator.classes else 0 for seed in range(_SHEET_SAMPLES)]
    drawn = generator.samples(labels, sampling=config.sampling, seeds=range(_SHEET_SAMPLES))
    samples = _until(drawn, stops).cpu()
    rows = [torch.cat(list(row), dim=-1) for row in samples.split(4)]
    with whole_file(sheet) as temporary:
        to_pillow(_shown(torch.cat(rows, dim=-2))).save(temporary)
    truth = torch.stack([pair.y0 for pair in truths])
    return {
        "held_out_loss": sum(losses) / len(losses),
        "sharpness": float(sharpness(samples).mean() / sharpness(truth).mean().clamp(min=1e-6)),
    }


def _shown(image: Tensor) -> Tensor:
    """Of a picture of bands those that a screen can show: the first three, or the first."""
    return image if len(image) in (1, 3) else image[: 3 if len(image) > 3 else 1]


def _in_channels(image: Tensor, channels: int) -> Tensor:
    """Show (c, h, w) in 1 or 3 channels: as it is, or grey."""
    shown = _shown(image)
    return shown if len(shown) == channels else shown.mean(0, keepdim=True).expand(channels, -1, -1)


def _square(image: Tensor, side: int) -> Tensor:
    """Pad with grey to a square: rows of a sheet must match."""
    square = torch.zeros(image.shape[0], side, side)
    square[:, : image.shape[1], : image.shape[2]] = image
    return square
