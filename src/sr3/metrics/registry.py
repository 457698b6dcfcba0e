"""The registry of metrics: unit, direction, protocol and source of each, in display order.

A figure of an image is averaged over images; a figure of a set is one number of all images together.
"""

from sr3.metrics.metric import Better, Metric
from sr3.metrics.opensr_metrics import OPENSR_METRICS

__all__ = ["METRICS", "Better", "Metric", "find_metric"]

_SAMPLES = "of the samples of one image, mean over pixels"

METRICS: tuple[Metric, ...] = (
    Metric(
        "psnr",
        "PSNR",
        "dB",
        "higher",
        "all channels, error averaged over the image, peak 255; mean of the images' dB",
        "arXiv:2104.07636, section 4.1",
        digits=2,
        tolerance=0.01,
    ),
    Metric(
        "psnr_y",
        "PSNR (Y)",
        "dB",
        "higher",
        "luminance of BT.601 in 16 to 235, peak 255",
        "ITU-R BT.601",
        digits=2,
        tolerance=0.01,
    ),
    Metric(
        "ssim",
        "SSIM",
        "",
        "higher",
        "mean over channels; Gaussian window of 11 pixels, deviation 1.5, K1 0.01, K2 0.03, only where the window fits",
        "Wang et al. 2004",
    ),
    Metric("ssim_y", "SSIM (Y)", "", "higher", "as SSIM, on luminance of BT.601 in 16 to 235", "Wang et al. 2004"),
    Metric(
        "consistency",
        "consistency",
        "x1e-5",
        "lower",
        "mean squared difference, in [0, 1], of the shrunk result and the input; antialiased bicubic, not rounded; "
        "no border is left out",
        "arXiv:2104.07636, section 4.1",
        digits=2,
        tolerance=0.05,
    ),
    Metric(
        "colour_shift",
        "colour shift",
        "/255",
        "lower",
        "largest absolute difference of the channel means of the result and of the bicubic enlargement of the input; "
        "no border is left out",
        "ours",
        tolerance=0.01,
    ),
    Metric(
        "sharpness",
        "sharpness",
        "of truth",
        "target",
        "mean absolute difference of neighbouring pixels, divided by the truth's",
        "ours",
        target=1.0,
        tolerance=0.005,
    ),
    Metric(
        "ripples",
        "ripples",
        "of truth",
        "target",
        "energy of structures of 2 to 8 pixels where the truth is flat (deviation below 2/255 in 17x17 pixels), to the "
        "truth's; mean of the images that have 1000 flat pixels",
        "ours",
        target=1.0,
        digits=2,
        tolerance=0.02,
    ),
    Metric(
        "grain",
        "grain",
        "/255",
        "none",
        "deviation of pixel less mean of 3x3 pixels where the truth is flat (deviation below 2/255 in 9x9 pixels); the "
        "truth's own is right; mean of the images that have 1000 flat pixels",
        "ours",
        digits=2,
        tolerance=0.02,
        of_truth=True,
    ),
    Metric("perceptual", "{network}", "", "lower", "whole images", "of the network", digits=4),
    *OPENSR_METRICS,
    Metric(
        "top1",
        "top-1 ({network})",
        "",
        "higher",
        "share of images whose class is the highest",
        "arXiv:2104.07636, classification of ImageNet",
        of_truth=True,
    ),
    Metric(
        "top5",
        "top-5 ({network})",
        "",
        "higher",
        "share of images whose class is among the five highest",
        "arXiv:2104.07636, classification of ImageNet",
        of_truth=True,
    ),
    Metric(
        "distance",
        "FD ({network})",
        "",
        "lower",
        "Frechet distance of the features of results and truths, first sample of each image; too large for fewer "
        "features than dimensions; +- 1.96 bootstrap deviations",
        "arXiv:1706.08500, section 4",
        digits=2,
        tolerance=0.1,
        of_set=True,
    ),
    Metric(
        "kernel",
        "KD ({network})",
        "x1e-3",
        "lower",
        "squared maximum mean discrepancy, kernel (x.y / d + 1)^3, unbiased over the whole sets; +- 1.96 bootstrap "
        "deviations",
        "arXiv:1801.01401, section 4",
        tolerance=0.05,
        of_set=True,
    ),
    Metric(
        "inception",
        "IS ({network})",
        "",
        "higher",
        "inception score in one part, first sample of each image; +- 1.96 bootstrap deviations",
        "arXiv:1606.03498, section 4",
        digits=2,
        tolerance=0.1,
        of_set=True,
        of_truth=True,
    ),
    Metric(
        "precision",
        "precision ({network})",
        "",
        "higher",
        "share of features within the manifold of the truths', 3 neighbours",
        "arXiv:1904.06991, Eq. 1",
        tolerance=0.005,
    ),
    Metric(
        "recall",
        "recall ({network})",
        "",
        "higher",
        "share of the truths' features within the manifold of the results', 3 neighbours",
        "arXiv:1904.06991, Eq. 2",
        tolerance=0.005,
    ),
    Metric(
        "deviation",
        "deviation",
        "/255",
        "none",
        f"standard deviation {_SAMPLES}",
        "ours",
        digits=2,
        tolerance=0.02,
    ),
    Metric(
        "feature_spread",
        "spread ({network})",
        "",
        "none",
        "mean Euclidean distance of the features of every two samples of one image",
        "ours",
    ),
    Metric(
        "crps",
        "CRPS",
        "/255",
        "lower",
        "fair form, over pairs of different samples; mean over pixels",
        "Gneiting and Raftery 2007, Eq. 21",
        tolerance=0.01,
    ),
    Metric(
        "energy",
        "energy score",
        "x1e-3",
        "lower",
        "patches of 8x8 pixels, at full and half size",
        "Gneiting and Raftery 2007, Eq. 21",
        tolerance=0.05,
    ),
    Metric(
        "coverage",
        "truth inside samples",
        "",
        "target",
        "share of values of the truth between the least and the greatest of k samples, ties shared; right is "
        "(k - 1) / (k + 1)",
        "Talagrand et al. 1997",
        tolerance=0.005,
    ),
    Metric(
        "spread_to_error",
        "spread to error",
        "",
        "target",
        "deviation of the samples over the error of their mean, (k + 1) / k allowed for",
        "Fortin et al. 2014, Eq. 15",
        target=1.0,
        tolerance=0.005,
    ),
)


def find_metric(key: str) -> Metric:
    """Find a figure by its key; KeyError when there is none."""
    return {metric.key: metric for metric in METRICS}[key]
