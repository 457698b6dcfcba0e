"""Settings of an evaluation: everything that metrics depend on besides images and methods."""

from dataclasses import dataclass
from typing import Literal

from sr3.images.degrade import Degradation
from sr3.metrics.classifiers import Classifier
from sr3.metrics.features import FeatureNetwork
from sr3.metrics.opensr import OpenSRTest
from sr3.metrics.perceptual import PerceptualDistance

__all__ = ["Networks", "Settings", "Task"]

Task = Literal["plain", "classification"]
"""plain: compare results with truths. classification: the crops and sizes of the paper's classification task."""


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    scale: scale factor, 0 without inputs. degradation: how inputs are made; paired inputs are always given.
    border: pixels excluded at each edge. patch: side of the patches whose features are compared, 0 for whole images.
    samples: results per input. resamples: bootstrap draws for the interval of a mean; metrics of sets use a twentieth.
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
    """Networks and packages of metrics; metrics whose network or package is None are omitted."""

    features: FeatureNetwork | None = None
    classifier: Classifier | None = None
    perceptual: PerceptualDistance | None = None
    opensr: OpenSRTest | None = None

    @property
    def scorer(self) -> FeatureNetwork | Classifier | None:
        """The network of the inception score: the feature network if it has classes, else the classifier."""
        return self.features if self.features is not None and self.features.views is not None else self.classifier
