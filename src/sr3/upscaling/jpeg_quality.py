"""JPEG files: the quality in their tables, how strongly to clean them, and which packaged model is meant for them."""

from dataclasses import replace
from math import nan
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image

from sr3.checkpoint import ModelInfo
from sr3.errors import ConfigError
from sr3.sampling.upscaler import Upscaler
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL, RESTORING_MODEL

__all__ = [
    "Strength",
    "check_strength",
    "estimated_quality",
    "jpeg_advice",
    "parse_strength",
    "quality_of",
    "strength_for",
    "with_strength",
]

Strength = float | Literal["auto"]
"""Strength of the restoration network: 0 for none, 1 as in training, or auto: by the quality of a JPEG file and as the
model measures it in the image."""

MOST = 2.0
"""The largest strength that may be asked for."""
BEST_QUALITY = 95
"""Quality of a JPEG file above which it is not worth cleaning."""
_SUM_AT_50 = 3688
"""Sum of the table of luminance in annex K.1 of ITU-T T.81, which libjpeg has at quality 50."""
_STRENGTHS = ((50, 1.3), (75, 1.1), (90, 0.8), (95, 0.5), (100, 0.0))
"""Strength at some qualities: the best of those tried for `photos-x4-web` (docs/explanation/ablations.md)."""


def estimated_quality(table: list[int]) -> float:
    """Estimate the quality, 1 to 100 as libjpeg counts it, from the quantisation table of luminance (64 numbers)."""
    if max(table) == 1:  # the finest table there is, which a formula of sums takes for 99.1
        return 100.0
    factor = sum(table) / _SUM_AT_50
    return max(1.0, 100 - 50 * factor if factor <= 1 else 50 / factor)


def quality_of(source: Path | BinaryIO | Image.Image) -> float | None:
    """Estimate the quality of a JPEG file, or of an image just opened from one; None of anything else.

    Only the header of a file is read.
    """
    if isinstance(source, Image.Image):
        tables = getattr(source, "quantization", None) if source.format in ("JPEG", "MPO") else None
        return estimated_quality(tables[min(tables)]) if tables else None
    try:
        with Image.open(source) as image:
            return quality_of(image)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def strength_for(quality: float | None) -> float | None:
    """Return how strongly a JPEG file asks to be cleaned: less the better it is; None where that is not known."""
    if quality is None:
        return None
    return float(np.interp(quality, [quality for quality, _ in _STRENGTHS], [strength for _, strength in _STRENGTHS]))


def parse_strength(text: str, upscaler: Upscaler) -> Strength:
    """Read `--restoration`; ConfigError where it is no strength, or the model does not clean its input."""
    if not upscaler.cleans:
        raise ConfigError(
            f"--restoration: {upscaler.info.name} has no restoration network; use a model that has one, such as "
            f"{RESTORING_MODEL}"
        )
    try:
        strength = "auto" if text == "auto" else float(text)
    except ValueError:
        strength = nan
    return check_strength(strength, f"--restoration {text}")


def check_strength(strength: Strength, what: str = "") -> Strength:
    """Return a strength; ConfigError for one outside 0 to 2. what: how the error names it."""
    if strength == "auto" or 0 <= strength <= MOST:
        return strength
    raise ConfigError(f"{what or f'restoration={strength}'}: must be auto, or a number from 0 to {MOST:g}")


def with_strength(upscaler: Upscaler, source: object, strength: Strength) -> Upscaler:
    """Let a model clean an input so strongly; auto by its quality, where it is a file or comes from one.

    A model that measures the strength cleans more than that where the image clearly needs it.
    """
    if not upscaler.cleans:
        return upscaler
    if strength != "auto":
        return replace(upscaler, restoration=strength)
    quality = quality_of(source) if isinstance(source, Path | Image.Image) else None
    return replace(upscaler, restoration=None, stated=strength_for(quality))


def jpeg_advice(source: Path, model: ModelInfo) -> str:
    """Say in one line that another model is meant for a file, or nothing.

    Nothing is said of models other than the two that are chosen by default.
    """
    if model.name not in (DEFAULT_MODEL, REFINING_MODEL):
        return ""
    quality = quality_of(source)
    if quality is None or quality > BEST_QUALITY:
        return ""
    return (
        f"{source}: is a JPEG file of quality {quality:.0f} or so, whose artefacts {model.name} sharpens; "
        f"--model {RESTORING_MODEL} removes them first"
    )
