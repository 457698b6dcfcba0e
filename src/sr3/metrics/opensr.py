"""Metrics of opensr-test: consistency, synthesis and correctness of satellite images, by its own code.

Source: Aybar et al. 2024, IEEE Geoscience and Remote Sensing Letters, doi 10.1109/LGRS.2024.3401394.

    pip install opensr-test

It needs torchvision. Each of its measurements seeds the random numbers of Python, NumPy and torch; here they continue
afterwards as if nothing had been measured.
"""

import contextlib
import importlib
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from sr3.errors import CheckpointError
from sr3.types import Image, LowRes

__all__ = ["OPENSR_KEYS", "OpenSRTest", "load_opensr"]

_BORDER = 16
"""Pixels at each edge that opensr-test leaves out by default."""
_SMALLEST = 32
"""Pixels that must remain on each side for its patches and its alignment."""
OPENSR_KEYS: Mapping[str, str] = {
    "reflectance": "opensr_reflectance",
    "spectral": "opensr_spectral",
    "spatial": "opensr_spatial",
    "synthesis": "opensr_synthesis",
    "ha_metric": "opensr_hallucination",
    "om_metric": "opensr_omission",
    "im_metric": "opensr_improvement",
}
"""Figures of opensr-test, and their keys in `sr3.metrics.METRICS`."""


@dataclass(frozen=True)
class OpenSRTest:
    """The metrics of opensr-test with their default settings. name: with its version."""

    name: str
    compute: Callable[..., Mapping[str, float]]

    def __call__(self, image: Image, truth: Image, low_res: LowRes) -> dict[str, float]:
        """Measure one result; images (1, c, h, w) and input (1, c, h / s, w / s) in [-1, 1].

        The spatial error is NaN where the alignment fails. CheckpointError when it cannot measure these images.
        """
        if min(truth.shape[-2:]) < _SMALLEST + 2 * _BORDER:
            raise CheckpointError(
                f"{self.name}: images of {truth.shape[-1]}x{truth.shape[-2]} are too small: it leaves out {_BORDER} "
                f"pixels at each edge and needs {_SMALLEST}; leave out --opensr"
            )
        sr, hr, lr = (((part.float().cpu()[0] + 1) / 2).clamp(0, 1) for part in (image, truth, low_res))
        try:
            with _kept_random_state():
                found = self.compute(lr=lr, sr=sr, hr=hr)
            return {key: float(found[name]) for name, key in OPENSR_KEYS.items()}
        except Exception as error:  # of other people's code
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{self.name}: cannot measure these images: {detail}") from error


def load_opensr() -> OpenSRTest:
    """Load opensr-test; CheckpointError when it or its torchvision is missing."""
    try:
        module: Any = importlib.import_module("opensr_test")
        name = f"opensr-test {version('opensr-test')}"
    except (ImportError, PackageNotFoundError) as error:
        detail = " ".join(str(error).split())[-120:]
        raise CheckpointError(
            f"--opensr: opensr-test cannot be imported ({detail}); pip install opensr-test, with the torchvision of "
            "your torch"
        ) from error
    return OpenSRTest(name, lambda **images: module.Metrics().compute(**images))


@contextlib.contextmanager
def _kept_random_state() -> Generator[None]:
    own, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the stream that the library seeds)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(own)
        np.random.set_state(of_numpy)  # noqa: NPY002
