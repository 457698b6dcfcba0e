"""Metrics of single images, of sample sets and of whole sets.

    from sr3.metrics import psnr, ssim

Images are tensors, shape (b, c, h, w), in [-1, 1]; `METRICS` lists the unit, direction and source of each figure.

Names are loaded on first use, so that `import sr3` loads no torch.
"""

from typing import TYPE_CHECKING

from sr3.lazy import loading

if TYPE_CHECKING:
    from sr3.metrics.classification import inception_score, top_hit
    from sr3.metrics.colour import colour_shift, luminance, without_border
    from sr3.metrics.distortion import consistency, mean_squared_error, psnr, sharpness, ssim
    from sr3.metrics.distribution import frechet_distance, inside_manifold, kernel_distance
    from sr3.metrics.energy import crps, energy_score, gradient_energy_score
    from sr3.metrics.features import FeatureNetwork, load_features
    from sr3.metrics.flat_areas import grain, ripples
    from sr3.metrics.opensr import OpenSRTest, load_opensr
    from sr3.metrics.perceptual import PerceptualDistance, load_perceptual
    from sr3.metrics.registry import METRICS, Metric, find_metric
    from sr3.metrics.spread import deviation, feature_spread, rank_coverage, rank_histogram, spread_to_error

__all__ = [
    "METRICS",
    "FeatureNetwork",
    "Metric",
    "OpenSRTest",
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
    "load_opensr",
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

_PARTS = (
    *("registry", "distortion", "colour", "spread", "energy", "flat_areas", "distribution", "classification"),
    *("features", "opensr", "perceptual"),
)
__getattr__, __dir__ = loading(__name__, __all__, _PARTS)
