"""Figures and pictures of the model so far, on images held out of training."""

from pathlib import Path

import torch
from torch import Tensor

from sr3.atomic import whole_file
from sr3.config import SamplingConfig
from sr3.data.dataset import PairDataset
from sr3.images.files import to_pillow
from sr3.inference.upscaler import Upscaler
from sr3.metrics.distortion import consistency, psnr, sharpness

__all__ = ["SIDE", "validate"]

SIDE = 256
"""Pixels a side of the middle of each held-out image that is measured, so that large photographs take no longer."""

_SHEET_ROWS = 6


def validate(upscaler: Upscaler, held_out: PairDataset, sampling: SamplingConfig, *, sheet: Path) -> dict[str, float]:
    """Upscale the middles of the held-out images, compare them with the truth and bicubic; means over images.

    Writes a sheet of pictures: enlarged input, sample, truth. The figures are PSNR in dB, consistency with and
    without the correction of low frequencies ([0, 1] range, squared), sharpness as a share of the truth's.
    """
    raw_sampling = sampling.model_copy(update={"correct": False})
    rows: list[Tensor] = []
    figures: list[dict[str, float]] = []
    for index in range(len(held_out)):
        y0, x, low_res = (part[None] for part in held_out.centre(index, SIDE))
        raw = upscaler.upscale(low_res, sampling=raw_sampling, seeds=[index]).cpu()
        sample = upscaler.correct(raw, low_res)
        figures.append(
            {
                "psnr": float(psnr(sample, y0)),
                "psnr_bicubic": float(psnr(x.clamp(-1, 1), y0)),
                "consistency": float(consistency(sample, low_res)),
                "consistency_uncorrected": float(consistency(raw, low_res)),
                "sharpness": float(sharpness(sample) / sharpness(y0).clamp(min=1e-6)),
            }
        )
        if len(rows) < _SHEET_ROWS:
            rows.append(torch.cat([_square(image[0]) for image in (x.clamp(-1, 1), sample, y0)], dim=-1))
    with whole_file(sheet) as temporary:
        to_pillow(torch.cat(rows, dim=-2)).save(temporary)
    return {name: sum(figure[name] for figure in figures) / len(figures) for name in figures[0]}


def _square(image: Tensor, side: int = SIDE) -> Tensor:
    """Cut the middle, or pad with grey, to a square: rows of a sheet must match."""
    height, width = image.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    cut = image[:, top : top + side, left : left + side]
    square = torch.zeros(image.shape[0], side, side)
    square[:, : cut.shape[1], : cut.shape[2]] = cut
    return square
