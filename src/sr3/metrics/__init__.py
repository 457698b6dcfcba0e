"""Metrics of single images, of sample sets and of whole sets.

    from sr3.metrics import psnr, ssim

Images are tensors, shape (b, c, h, w), in [-1, 1]; `METRICS` lists the unit, direction and source of each figure.

Names are loaded on first use, so that `import sr3` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sr3.metrics.classification import inception_score, top_hit
    from sr3.metrics.colour import colour_shift, luminance, without_border
    from sr3.metrics.distortion import consistency, mean_squared_error, psnr, sharpness, ssim
    from sr3.metrics.distribution import frechet_distance, inside_manifold, kernel_distance
    from sr3.metrics.energy import crps, energy_score, gradient_energy_score
    from sr3.metrics.features import FeatureNetwork, load_features
    from sr3.metrics.flat_areas import grain, ripples
    from sr3.metrics.perceptual import PerceptualDistance, load_perceptual
    from sr3.metrics.registry import METRICS, Metric, find_metric
    from sr3.metrics.spread import deviation, feature_spread, rank_coverage, rank_histogram, spread_to_error

__all__ = [
    "METRICS",
    "FeatureNetwork",
    "Metric",
    "PerceptualDistance",
    "colour_shift",
    "consistency",
    "crps",
    "deviation",
    "energy_score",
    "feature_spread",
    "find_metric",
    "frechet_distance",
    "gradient_energy_score",
    "grain",
    "inception_score",
    "inside_manifold",
    "kernel_distance",
    "load_features",
    "load_perceptual",
    "luminance",
    "mean_squared_error",
    "psnr",
    "rank_coverage",
    "rank_histogram",
    "ripples",
    "sharpness",
    "spread_to_error",
    "ssim",
    "top_hit",
    "without_border",
]

_HOME = {
    "FeatureNetwork": "features",
    "METRICS": "registry",
    "Metric": "registry",
    "PerceptualDistance": "perceptual",
    "colour_shift": "colour",
    "consistency": "distortion",
    "crps": "energy",
    "deviation": "spread",
    "energy_score": "energy",
    "feature_spread": "spread",
    "find_metric": "registry",
    "frechet_distance": "distribution",
    "gradient_energy_score": "energy",
    "grain": "flat_areas",
    "inception_score": "classification",
    "inside_manifold": "distribution",
    "kernel_distance": "distribution",
    "load_features": "features",
    "load_perceptual": "perceptual",
    "luminance": "colour",
    "mean_squared_error": "distortion",
    "psnr": "distortion",
    "rank_coverage": "spread",
    "rank_histogram": "spread",
    "ripples": "flat_areas",
    "sharpness": "distortion",
    "spread_to_error": "spread",
    "ssim": "distortion",
    "top_hit": "classification",
    "without_border": "colour",
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any public name)
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
