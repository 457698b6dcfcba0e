"""The sampling process as images: a strip of some frames, and an animation of all."""

import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

__all__ = ["MOST_FRAMES", "SIDE", "Frame", "animation", "spread", "strip"]

SIDE = 384
"""Longest side of a frame in pixels."""

MOST_FRAMES = 100
"""Frames of an animation that is made of more steps."""

_PANELS = 6
_MILLISECONDS, _LAST_MILLISECONDS = 120, 1500


class Frame(NamedTuple):
    """An image on the way, no longer than SIDE, and what is written below it."""

    image: Image.Image
    caption: str


def spread(count: int, most: int) -> list[int]:
    """Choose at most so many of count places evenly, the first and the last among them."""
    chosen = min(most, count)
    return [round(k * (count - 1) / max(chosen - 1, 1)) for k in range(chosen)]


def strip(frames: Sequence[Frame]) -> Image.Image:
    """Lay the first frame, the last and at most four evenly between side by side, each with its caption."""
    chosen = [frames[place] for place in spread(len(frames), _PANELS)]
    wide = max(max(frame.image.width, 96) for frame in chosen)
    high, letter = max(frame.image.height for frame in chosen), max(11, wide // 16)
    sheet = Image.new("RGB", (len(chosen) * (wide + 4) - 4, high + 2 * letter), (255, 255, 255))
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
