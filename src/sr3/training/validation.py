"""Validation: metrics and sample images of held-out images."""

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
from sr3.diffusion.denoiser import ClassAndLevel
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
"""Side in pixels of the centre crop of each held-out image, which bounds the time of large images."""

_SHEET_ROWS = 6
_SHEET_SAMPLES = 16
_LOSS_DRAWS = 8
"""Number of levels at which the loss of each held-out image is computed."""


def validate(
    upscaler: Upscaler,
    held_out: PairDataset,
    sampling: SamplingConfig,
    *,
    sheet: Path,
    samples: int = 1,
    stops: Stops = lambda: False,
) -> dict[str, float]:
    """Upscale centre crops of the held-out images and compare them with the truth and with bicubic; means over images.

    Writes a sheet of images: enlarged input, sample, truth. The metrics are PSNR in dB and sharpness as a share of the
    truth's, both of samples with the given settings; PSNR of the enlarged input; and consistency with and without the
    correction of low frequencies (squared error, [0, 1] range). Metrics that compare with the input are omitted when
    the input is not smaller than the result, or has other channels. samples: with 2, two samples are drawn per image
    and the energy score of their gradients, x1000, is added; a regression has one sample. stops: checked after every
    sampling step; raises Stopped, with nothing written, when it returns true.
    """
    raw_sampling = sampling.model_copy(update={"correct": False})
    rows: list[list[Tensor]] = []
    metrics: list[dict[str, float]] = []
    channels = len(_shown(held_out.centre(0, SIDE).y0))
    for index in range(len(held_out)):
        pair = held_out.centre(index, SIDE)
        y0, x, low_res = pair.y0[None], pair.x[None], pair.low_res[None]
        raw = _last_image(upscaler.samples(low_res, sampling=raw_sampling, seeds=[index]), stops).cpu()
        compared = _compare_with_input(upscaler, raw, pair)
        sample = compared.corrected if sampling.correct else raw
        metrics.append(
            {
                "psnr": float(psnr(sample, y0)),
                **compared.metrics,
                "sharpness": float(sharpness(sample) / sharpness(y0).clamp(min=1e-6)),
            }
        )
        if samples > 1 and sampling.sampler != "regression":
            seeds = [len(held_out) + index]
            other = _last_image(upscaler.samples(low_res, sampling=sampling, seeds=seeds), stops).cpu()
            score = gradient_energy_score(torch.stack([sample, other]), y0)
            metrics[-1]["gradient_energy"] = 1000 * float(score)
        if len(rows) < _SHEET_ROWS:
            rows.append([_in_channels(image[0], channels) for image in (x.clamp(-1, 1), sample, y0)])
    side = max(length for row in rows for length in row[0].shape[1:])
    squares = [torch.cat([_square(image, side) for image in row], dim=-1) for row in rows]
    with whole_file(sheet) as temporary:
        to_pillow(_shown(torch.cat(squares, dim=-2))).save(temporary)
    return {name: sum(values[name] for values in metrics) / len(metrics) for name in metrics[0]}


class _Comparison(NamedTuple):
    """A sample with its low frequencies corrected where that is possible, and its metrics against the input."""

    corrected: Image
    metrics: dict[str, float]


def _compare_with_input(upscaler: Upscaler, raw: Image, pair: Pair) -> _Comparison:
    """Compare a sample with its input: at full size if the channels agree, and downscaled if the scale is not 1."""
    y0, x, low_res = pair.y0[None], pair.x[None], pair.low_res[None]
    if len(pair.x) != len(pair.y0):
        return _Comparison(raw, {})
    metrics = {"psnr_bicubic": float(psnr(x.clamp(-1, 1), y0))}
    if upscaler.scale == 1:
        return _Comparison(raw, metrics)
    corrected = upscaler.correct(raw, low_res)
    metrics["consistency"] = float(consistency(corrected, low_res))
    metrics["consistency_uncorrected"] = float(consistency(raw, low_res))
    return _Comparison(corrected, metrics)


def _last_image(steps: Iterator[Image], stops: Stops) -> Image:
    """Run the sampler and return the last image; raises Stopped when stops returns true."""

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
    """Compute the loss on held-out images at fixed draws, and the sharpness of 16 samples as a share of the truth's.

    Writes a sheet of the samples; a class-conditional model cycles through the classes. stops: as for `validate`.
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
        conditioning = ClassAndLevel(labels, torch.ones_like(gamma)) if generator.classes else ()
        with torch.no_grad():
            loss = denoising_loss(
                denoiser, y0, y0[:, :0], eps=eps, gamma=gamma, kind=config.objective.loss, conditioning=conditioning
            )
        losses.append(float(loss.mean()))
    labels = [seed % generator.classes if generator.classes else 0 for seed in range(_SHEET_SAMPLES)]
    drawn = generator.samples(labels, sampling=config.sampling, seeds=range(_SHEET_SAMPLES))
    samples = _last_image(drawn, stops).cpu()
    rows = [torch.cat(list(row), dim=-1) for row in samples.split(4)]
    with whole_file(sheet) as temporary:
        to_pillow(_shown(torch.cat(rows, dim=-2))).save(temporary)
    truth = torch.stack([pair.y0 for pair in truths])
    return {
        "held_out_loss": sum(losses) / len(losses),
        "sharpness": float(sharpness(samples).mean() / sharpness(truth).mean().clamp(min=1e-6)),
    }


def _shown(image: Tensor) -> Tensor:
    """Select the channels to display: the first three of several, or the first one."""
    return image if len(image) in (1, 3) else image[: 3 if len(image) > 3 else 1]


def _in_channels(image: Tensor, channels: int) -> Tensor:
    """Convert (c, h, w) to 1 or 3 channels for display; grey if the number differs."""
    shown = _shown(image)
    return shown if len(shown) == channels else shown.mean(0, keepdim=True).expand(channels, -1, -1)


def _square(image: Tensor, side: int) -> Tensor:
    """Pad with grey to a square, so that the rows of a sheet have one size."""
    square = torch.zeros(image.shape[0], side, side)
    square[:, : image.shape[1], : image.shape[2]] = image
    return square
