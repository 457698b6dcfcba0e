"""Settings of an evaluation: everything that decides its figures besides images and methods."""

from dataclasses import dataclass
from typing import Literal

from sr3.images.degrade import Degradation
from sr3.metrics.classifiers import Classifier
from sr3.metrics.features import FeatureNetwork
from sr3.metrics.perceptual import PerceptualDistance

__all__ = ["Networks", "Settings", "Task"]

Task = Literal["plain", "classification"]
"""plain: results beside truths. classification: the paper's way to inputs and outputs of a classifier."""


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    scale: how much smaller inputs are, 0 where there are none. degradation: how inputs are made; paired ones are always
    given. border: pixels left out at each edge. patch: side of the
    patches whose features are compared, 0 for whole pictures. samples: results of one input that are looked for or
    drawn. resamples: drawn for the interval of a mean; a twentieth for that of a figure of a set.
    """

    task: Task = "plain"
    scale: int = 0
    degradation: Degradation | Literal["paired"] = "bicubic"
    border: int = 0
    patch: int = 0
    samples: int = 1
    seed: int = 0
    resamples: int = 1000


@dataclass(frozen=True)
class Networks:
    """What some figures are taken with; those whose network is missing are left out."""

    features: FeatureNetwork | None = None
    classifier: Classifier | None = None
    perceptual: PerceptualDistance | None = None

    @property
    def scorer(self) -> FeatureNetwork | Classifier | None:
        """Take what the inception score is made with: the feature network if it has classes, else the classifier."""
        return self.features if self.features is not None and self.features.views is not None else self.classifier
