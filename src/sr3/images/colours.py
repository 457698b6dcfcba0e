"""A colour map with its legend, readable with colour vision deficiency.

From dark blue over grey to yellow, the lightness rising evenly: the idea of the colour map of Nunez, Anderton and
Renslow, PLOS ONE 13(7), 2018. Knows no model.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

__all__ = ["COLOURS", "map_picture"]

COLOURS = (
    (0, 34, 78),
    (18, 53, 112),
    (59, 73, 108),
    (87, 93, 109),
    (112, 113, 115),
    (138, 134, 120),
    (165, 156, 116),
    (195, 179, 105),
    (225, 204, 85),
    (254, 232, 56),
)
"""Colours of values evenly from 0 to the top, linear in between."""

_SHARE = 0.995
_LEAST_WIDTH = 360
_BACK, _INK = (255, 255, 255), (0, 0, 0)


def map_picture(values: Tensor, *, title: str, unit: str) -> Image.Image:
    """Draw values (h, w), at least 0, pixel for pixel, and below them a legend with title, unit and scale.

    The scale ends at a round number that at least 99.5 % of the values do not exceed; what is beyond has its colour.
    """
    top, step = _scale(float(np.quantile(values.flatten()[:: max(1, values.numel() // 10**6)].numpy(), _SHARE)))
    picture = Image.fromarray(_coloured((values / top).clamp(0, 1)))
    width = max(picture.width, _LEAST_WIDTH)
    size = max(13, width // 50)
    legend = _legend((width, 6 * size), top=top, step=step, title=title, unit=unit)
    sheet = Image.new("RGB", (width, picture.height + legend.height), _BACK)
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    sheet.paste(legend, (0, picture.height))
    return sheet


def _scale(largest: float) -> tuple[float, float]:
    """Choose a round top of 4 or 5 steps that is not below the largest value."""
    power = 10.0 ** math.floor(math.log10(max(largest, 0.1)))
    for factor, steps in ((1, 5), (2, 4), (4, 4), (5, 5), (8, 4)):
        if largest <= factor * power:
            return factor * power, factor * power / steps
    return 10 * power, 2 * power


def _coloured(share: Tensor) -> NDArray[np.uint8]:
    """Colour (h, w) of 0 to 1, row by row."""
    table = np.array(COLOURS, dtype=np.float64)
    places = np.linspace(0, 1, len(table))
    out = np.empty((*share.shape, 3), np.uint8)
    for row, line in zip(out, share, strict=True):
        for channel in range(3):
            row[:, channel] = np.interp(line.numpy(), places, table[:, channel]).round()
    return out


def _legend(size: tuple[int, int], *, top: float, step: float, title: str, unit: str) -> Image.Image:
    sheet = Image.new("RGB", size, _BACK)
    draw, letter = ImageDraw.Draw(sheet), size[1] // 6
    font = ImageFont.load_default(letter)
    left, right = 2 * letter, size[0] - 2 * letter
    draw.text((size[0] / 2, letter * 0.4), title, fill=_INK, font=font, anchor="ma")
    bar = _coloured(torch.linspace(0, 1, right - left)[None])
    sheet.paste(Image.fromarray(bar).resize((right - left, letter)), (left, round(1.9 * letter)))
    for number in range(round(top / step) + 1):
        place = left + (right - left - 1) * number * step / top
        draw.line([(place, 2.9 * letter), (place, 3.2 * letter)], fill=_INK)
        draw.text((place, 3.3 * letter), f"{number * step:g}", fill=_INK, font=font, anchor="ma")
    draw.text((size[0] / 2, 4.6 * letter), unit, fill=_INK, font=font, anchor="ma")
    return sheet
