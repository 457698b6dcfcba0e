"""The way from noise to a picture: a strip of some of its frames, and an animation of all."""

import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

__all__ = ["SIDE", "Frame", "animation", "strip"]

SIDE = 384
"""Longest side of a frame in pixels."""

_PANELS = 6
_MILLISECONDS, _LAST_MILLISECONDS = 120, 1500


class Frame(NamedTuple):
    """A picture on the way, no longer than SIDE, and what is written below it."""

    image: Image.Image
    caption: str


def strip(frames: Sequence[Frame]) -> Image.Image:
    """Lay the first frame, the last and at most four evenly between side by side, each with its caption."""
    count = min(_PANELS, len(frames))
    chosen = [frames[round(k * (len(frames) - 1) / max(count - 1, 1))] for k in range(count)]
    wide = max(max(frame.image.width, 96) for frame in chosen)
    high, letter = max(frame.image.height for frame in chosen), max(11, wide // 16)
    sheet = Image.new("RGB", (count * (wide + 4) - 4, high + 2 * letter), (255, 255, 255))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(letter)
    for number, frame in enumerate(chosen):
        left = number * (wide + 4)
        sheet.paste(frame.image.convert("RGB"), (left + (wide - frame.image.width) // 2, 0))
        draw.text((left + wide / 2, high + 0.4 * letter), frame.caption, fill=(0, 0, 0), font=font, anchor="ma")
    return sheet


def animation(frames: Sequence[Frame]) -> bytes:
    """Encode all frames as an endless animated WebP that rests on the last."""
    first, *others = [frame.image.convert("RGB") for frame in frames]
    times = [_MILLISECONDS] * len(others) + [_LAST_MILLISECONDS]
    buffer = io.BytesIO()
    options = {"duration": times, "loop": 0, "quality": 90, "method": 4}
    first.save(buffer, "WEBP", save_all=True, append_images=others, **options)
    return buffer.getvalue()
