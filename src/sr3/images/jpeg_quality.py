"""How much a JPEG was compressed, estimated from its quantisation table: the quality that libjpeg would call it."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

__all__ = ["jpeg_quality", "quality_of_table"]

_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""Table K.1 of ISO/IEC 10918-1, which libjpeg scales by the quality, row by row."""


def jpeg_quality(path: Path) -> int | None:
    """Estimate the quality, 1 to 100, of a JPEG file; None for any other file, or one that cannot be opened."""
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            tables: dict[int, Sequence[int]] = getattr(image, "quantization", {})
            return quality_of_table(tables[0]) if 0 in tables else None
    except Exception:
        # Pillow lets damaged data surface as almost any exception; reading the picture will say what is wrong.
        return None


def quality_of_table(table: Sequence[int]) -> int:
    """Find the quality whose luminance table in libjpeg has the sum nearest to that of these 64 numbers.

    The sum does not depend on the order of the numbers, which programs store along a zigzag.
    """
    total = sum(table)
    return min(range(1, 101), key=lambda quality: abs(sum(_table(quality)) - total))


def _table(quality: int) -> list[int]:
    """Scale Table K.1 as libjpeg does: by 5000 / q per cent below quality 50, by 200 - 2 q from there on."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [max(1, min(255, (number * scale + 50) // 100)) for number in _LUMINANCE]
