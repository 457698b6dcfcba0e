"""Advice for compressed input: which packaged model was trained on pictures such as a JPEG, where one was not."""

from pathlib import Path

from sr3.checkpoint import ModelInfo
from sr3.images.jpeg_quality import jpeg_quality
from sr3.zoo import DEFAULT_MODEL, WEB_MODEL, packaged_models

__all__ = ["compression_advice"]

CLEAN_FROM = 96
"""Quality of a JPEG from which a model of clean pictures does as well (docs/explanation/results.md, measured)."""


def compression_advice(info: ModelInfo, path: Path) -> str:
    """Say in one line that another model fits a JPEG better; nothing for other files, qualities and models."""
    if info.name != DEFAULT_MODEL or WEB_MODEL not in packaged_models():
        return ""
    quality = jpeg_quality(path)
    if quality is None or quality >= CLEAN_FROM:
        return ""
    return f"{path}: is a JPEG of quality {quality} or so, whose blocks {info.name} sharpens; try --model {WEB_MODEL}"
