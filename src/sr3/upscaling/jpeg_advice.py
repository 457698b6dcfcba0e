"""Advice for JPEG files: which packaged model is meant for them."""

from pathlib import Path

from PIL import Image

from sr3.checkpoint import ModelInfo
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL, RESTORING_MODEL

__all__ = ["estimated_quality", "jpeg_advice"]

BEST_QUALITY = 92
"""Quality of a JPEG file above which it is not worth cleaning."""
_SUM_AT_50 = 3688
"""Sum of the table of luminance in annex K.1 of ITU-T T.81, which libjpeg has at quality 50."""


def estimated_quality(table: list[int]) -> float:
    """Estimate the quality, 1 to 100 as libjpeg counts it, from the quantisation table of luminance (64 numbers)."""
    factor = sum(table) / _SUM_AT_50
    return max(1.0, 100 - 50 * factor if factor <= 1 else 50 / factor)


def jpeg_advice(source: Path, model: ModelInfo) -> str:
    """Say in one line that another model is meant for a file, or nothing.

    Only the header is read. Nothing is said of models other than the two that are chosen by default.
    """
    if model.name not in (DEFAULT_MODEL, REFINING_MODEL):
        return ""
    try:
        with Image.open(source) as image:
            tables = getattr(image, "quantization", None) if image.format in ("JPEG", "MPO") else None
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    quality = estimated_quality(tables[min(tables)]) if tables else 100.0
    if quality > BEST_QUALITY:
        return ""
    return (
        f"{source}: is a JPEG file of quality {quality:.0f} or so, whose artefacts {model.name} sharpens; "
        f"--model {RESTORING_MODEL} removes them first"
    )
