"""What a metric is called, and how it is read: unit, direction, protocol and source."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Better", "Metric"]

Better = Literal["higher", "lower", "target", "none"]


@dataclass(frozen=True)
class Metric:
    """Description of one metric.

    title: `{network}` stands for the network it is taken with. target: what is right, where neither more nor less is.
    digits: after the point, in tables. tolerance: how far the figure may move before a check fails.
    of_truth: the truth has it too, as a reference.
    """

    key: str
    title: str
    unit: str
    better: Better
    protocol: str
    source: str
    digits: int = 3
    tolerance: float = 0.001
    target: float | None = None
    of_set: bool = False
    of_truth: bool = False
