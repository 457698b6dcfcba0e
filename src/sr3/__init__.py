"""SR3: image super-resolution by iterative refinement (arXiv:2104.07636).

Public names are loaded on first use, so that `import sr3` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sr3 import batch, diffusion, metrics, networks
    from sr3.config import Config
    from sr3.errors import Cancelled, Sr3Error
    from sr3.presets import preset
    from sr3.sampling.upscaler import Upscaler, open_upscaler
    from sr3.training.plan import Training, train
    from sr3.upscaling.model import Model, Refinement, load

__all__ = [
    "Cancelled",
    "Config",
    "Model",
    "Refinement",
    "Sr3Error",
    "Training",
    "Upscaler",
    "batch",
    "diffusion",
    "load",
    "metrics",
    "networks",
    "open_upscaler",
    "preset",
    "train",
]

_HOME = {
    "Cancelled": "sr3.errors",
    "Config": "sr3.config",
    "Model": "sr3.upscaling.model",
    "Refinement": "sr3.upscaling.work",
    "Sr3Error": "sr3.errors",
    "Training": "sr3.training.plan",
    "Upscaler": "sr3.sampling.upscaler",
    "load": "sr3.upscaling.model",
    "open_upscaler": "sr3.sampling.upscaler",
    "preset": "sr3.presets",
    "train": "sr3.training.plan",
}

_PACKAGES = ("batch", "diffusion", "metrics", "networks")
"""Modules and packages that are public as a whole, each with names of its own."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any public name)
    """Load a public name on first use (PEP 562)."""
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'sr3' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
