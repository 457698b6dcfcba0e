"""Learned perceptual distances by a given network.

`lpips-alex` and `lpips-vgg` are LPIPS (arXiv:1801.03924) by torchmetrics, which needs torchvision and fetches its
backbone; `st-lpips` is ST-LPIPS, whose weights come with a package. A TorchScript file takes two batches (b, 3, h, w)
in [-1, 1] and returns (b,); it runs code, so take it only from people you trust. Distances are of whole images.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sr3.digest import digest_of, digest_of_weights
from sr3.errors import CheckpointError, Sr3Error
from sr3.metrics.features import load_torchscript
from sr3.metrics.stlpips import load_stlpips, stlpips_weight_file
from sr3.types import Image

__all__ = ["PerceptualDistance", "load_perceptual"]

_LPIPS = {"lpips-alex": "alex", "lpips-vgg": "vgg"}


@dataclass(frozen=True)
class PerceptualDistance:
    """A perceptual distance with the name that reports give it."""

    name: str
    digest: str
    """SHA-256 of its file or weights."""
    compute: Callable[[Image, Image], Tensor]

    @torch.no_grad()
    def __call__(self, image: Image, truth: Image) -> Tensor:
        """Measure images (b, 3, h, w) in [-1, 1], shape (b,); CheckpointError when the network cannot take them."""
        try:
            distance = self.compute(image.float(), truth.float()).double().cpu().flatten()
        except Sr3Error:
            raise
        except Exception as error:  # of other people's code
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{self.name}: cannot compare these images: {detail}") from error
        if len(distance) != len(image):
            raise CheckpointError(f"{self.name}: returns {len(distance)} distances for {len(image)} images")
        return distance


def load_perceptual(where: str) -> PerceptualDistance:
    """Load a distance by name or file; CheckpointError when there is none, or its package is missing."""
    if where == "st-lpips":
        return PerceptualDistance("ST-LPIPS (AlexNet)", digest_of(stlpips_weight_file()), load_stlpips())
    if where in _LPIPS:
        return _lpips(where)
    path = Path(where)
    if not path.is_file():
        names = ", ".join(("st-lpips", *_LPIPS))
        raise CheckpointError(f"{where}: no such perceptual distance; give {names} or a TorchScript file")
    return PerceptualDistance(path.stem, digest_of(path), load_torchscript(path))


def _lpips(where: str) -> PerceptualDistance:
    try:
        module = importlib.import_module("torchmetrics.image.lpip")
        network = module.LearnedPerceptualImagePatchSimilarity(net_type=_LPIPS[where]).net.eval()
    except ImportError as error:
        raise CheckpointError(
            f"{where}: torchmetrics or its torchvision is missing; pip install 'sr3[eval]'"
        ) from error
    except (OSError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{where}: its backbone cannot be downloaded ({detail}); check the internet connection"
        ) from error
    name = f"LPIPS ({'AlexNet' if where == 'lpips-alex' else 'VGG16'})"
    return PerceptualDistance(
        name, digest_of_weights(network.state_dict()), lambda image, truth: network(image.clamp(-1, 1), truth)
    )
