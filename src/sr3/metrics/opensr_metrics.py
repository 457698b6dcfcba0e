"""Descriptions of the metrics of opensr-test, for the registry. `opensr` computes them."""

from sr3.metrics.metric import Metric

__all__ = ["OPENSR_METRICS"]

_OPENSR = "Aybar et al. 2024, doi 10.1109/LGRS.2024.3401394"

OPENSR_METRICS: tuple[Metric, ...] = (
    Metric(
        "opensr_reflectance",
        "reflectance ({network})",
        "",
        "lower",
        "mean absolute difference, in [0, 1], of the input and the result, reduced; 16 pixels at each edge "
        "left out, as in all its figures",
        _OPENSR,
        digits=4,
    ),
    Metric(
        "opensr_spectral",
        "spectral ({network})",
        "deg",
        "lower",
        "mean angle between the bands of the input and of the reduced result",
        _OPENSR,
        tolerance=0.01,
    ),
    Metric(
        "opensr_spatial",
        "spatial ({network})",
        "px",
        "lower",
        "shift between the input and the reduced result, by phase correlation; images whose alignment fails left out",
        _OPENSR,
        digits=2,
        tolerance=0.02,
    ),
    Metric(
        "opensr_synthesis",
        "synthesis ({network})",
        "",
        "higher",
        "mean absolute difference of the result, matched to the truth in colours and place, and the enlarged input: "
        "detail that was added, right or wrong",
        _OPENSR,
        digits=4,
    ),
    Metric(
        "opensr_improvement",
        "improvement ({network})",
        "",
        "higher",
        "nearness to the truth, as a share of improvement, omission and hallucination, mean over pixels",
        _OPENSR,
    ),
    Metric(
        "opensr_omission",
        "omission ({network})",
        "",
        "lower",
        "nearness to the enlarged input, as a share of the three",
        _OPENSR,
    ),
    Metric(
        "opensr_hallucination",
        "hallucination ({network})",
        "",
        "lower",
        "distance from both the truth and the enlarged input, as a share of the three",
        _OPENSR,
    ),
)
