"""Descriptions of metrics, settings and the machine, for a report."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from sr3.evaluation.cases import CLASSIFICATION_SCALE
from sr3.evaluation.settings import Networks, Settings
from sr3.metrics.features import INCEPTION
from sr3.metrics.opensr import OPENSR_KEYS
from sr3.metrics.registry import Metric
from sr3.metrics.spread import nominal_coverage

__all__ = ["described", "environment", "protocol_of"]

_RESIZER = "antialiased bicubic, Keys' kernel with a = -0.5, as Pillow's, in float"
_PACKAGES = ("sr3", "torch", "numpy", "pillow")
_OPTIONAL = ("torchvision", "torchmetrics", "torch-fidelity", "onnxruntime", "spandrel", "timm", "opensr-test")
"""Packages that provide networks, listed if they are installed."""


def described(metric: Metric, networks: Networks, settings: Settings) -> dict[str, Any]:
    """Describe a metric, with the name of the network that it uses."""
    target = nominal_coverage(settings.samples) if metric.key == "coverage" else metric.target
    return {
        "title": _title(metric, networks, settings),
        "unit": metric.unit,
        "better": metric.better,
        "target": target,
        "digits": metric.digits,
        "tolerance": metric.tolerance,
        "protocol": metric.protocol,
        "source": metric.source,
    }


def _title(metric: Metric, networks: Networks, settings: Settings) -> str:
    """Name a metric with its network; FID, KID and IS are the names for whole images and Inception only."""
    if "{network}" not in metric.title:
        return metric.title
    owners = {"perceptual": networks.perceptual, "inception": networks.scorer}
    owners |= dict.fromkeys(("top1", "top5"), networks.classifier)
    owners |= dict.fromkeys(OPENSR_KEYS.values(), networks.opensr)
    owner = owners.get(metric.key, networks.features)
    name = "" if owner is None else owner.name
    short = {"distance": "FID", "kernel": "KID", "inception": "IS"}
    is_usual = name == INCEPTION and settings.patch == 0 and metric.key in short
    return short[metric.key] if is_usual else metric.title.format(network=name)


def protocol_of(settings: Settings, networks: Networks) -> dict[str, Any]:
    """List everything that metrics depend on besides images and methods."""
    return {
        "colour": "values as stored, no profile applied; RGB, and Y of BT.601 in 16 to 235",
        "border": settings.border,
        "resizer": _RESIZER,
        "task": settings.task,
        "scale": CLASSIFICATION_SCALE if settings.task == "classification" else settings.scale,
        "degradation": settings.degradation,
        "patch": settings.patch,
        "samples": settings.samples,
        "seed": settings.seed,
        "intervals": f"95 %, bootstrap over images, {settings.resamples} draws",
        "feature network": _network(networks.features),
        "classifier": _network(networks.classifier),
        "classifier range": None if networks.classifier is None else networks.classifier.expects,
        "perceptual network": _network(networks.perceptual),
        "opensr-test": None if networks.opensr is None else networks.opensr.name,
    }


def _network(network: Any) -> dict[str, str] | None:  # noqa: ANN401 (any of the three kinds)
    return None if network is None else {"name": network.name, "sha256": network.digest}


def environment() -> dict[str, str]:
    """List package versions and the machine."""
    return {
        **{package: _version(package) or "not installed" for package in _PACKAGES},
        **{package: found for package in _OPTIONAL if (found := _version(package))},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def _version(package: str) -> str:
    """Return the version of a package, or an empty string if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
