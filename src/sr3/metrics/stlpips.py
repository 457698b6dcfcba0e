"""ST-LPIPS: a learned perceptual distance that forgives small shifts (arXiv:2207.13686), AlexNet variant.

LPIPS (arXiv:1801.03924) on an AlexNet whose every shrinking is a blur with reflected borders and a stride of 2.
The weights come from the PyPI package `stlpips-pytorch` (BSD-2-Clause), whose code is not imported: it asks for
torchvision, IPython and torchsummary. The network is written here in plain torch. The file knows no model of ours.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad, relu

from sr3.errors import CheckpointError, ImageError
from sr3.types import Image

__all__ = ["SMALLEST_SIDE", "load_stlpips", "load_stlpips_maps", "stlpips_weight_file"]

SMALLEST_SIDE = 21
"""Sides of a picture below which the network has too few pixels to reflect at a border."""

_PACKAGE, _FILE = "stlpips_pytorch", Path("weights", "vST0.0", "alex_shift_tolerant.pth")
_MEAN = (-0.030, -0.088, -0.188)  # of ImageNet in [-1, 1], as in LPIPS
_SPREAD = (0.458, 0.448, 0.450)
_LAYERS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
_TINY = 1e-10  # keeps features of length 0 finite

Weights = Mapping[str, Tensor]


def load_stlpips() -> Callable[[Image, Image], Tensor]:
    """Load the distance: two batches (b, 3, h, w) in [-1, 1] to (b,), 0 for equal pictures, larger for worse.

    Raises CheckpointError when the weights are not installed; the distance raises ImageError for other shapes.
    """
    weights = torch.load(stlpips_weight_file(), map_location="cpu", weights_only=True)

    @torch.no_grad()
    def distance(image: Image, truth: Image) -> Tensor:
        if image.shape != truth.shape or image.shape[1] != 3 or min(image.shape[-2:]) < SMALLEST_SIDE:
            raise ImageError(
                f"ST-LPIPS cannot compare {tuple(image.shape)} with {tuple(truth.shape)}; "
                f"give two equal shapes (b, 3, h, w) with sides of at least {SMALLEST_SIDE}"
            )
        here = {name: weight.to(image) for name, weight in weights.items()}
        pairs = zip(_features(image, here), _features(truth, here), strict=True)
        layers = [_layer_distance(a, b, here[f"lin{n}.model.1.weight"]) for n, (a, b) in enumerate(pairs)]
        return torch.stack(layers).sum(dim=0)

    return distance


def load_stlpips_maps() -> Callable[[Image], list[Tensor]]:
    """Load the network alone, with gradients: pictures (b, 3, h, w) in [-1, 1] to five maps, fine to coarse.

    Raises CheckpointError when the weights are not installed.
    """
    weights = torch.load(stlpips_weight_file(), map_location="cpu", weights_only=True)

    def maps(image: Image) -> list[Tensor]:
        return _features(image, {name: weight.to(image) for name, weight in weights.items()})

    return maps


def stlpips_weight_file() -> Path:
    """Find the weights in their package; CheckpointError when they are not installed."""
    spec = find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise CheckpointError(
        f"stlpips-pytorch: the weights of ST-LPIPS are not installed for {sys.executable}; "
        "run `pip install --no-deps stlpips-pytorch`"
    )


def _features(image: Image, weights: Weights) -> list[Tensor]:
    """Return the five activations that are compared, fine to coarse."""

    def convolved(y: Tensor, number: int, padding: int) -> Tensor:
        layer = f"net.{_LAYERS[number]}"
        return conv2d(y, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=padding)

    scaled = (image - _per_channel(_MEAN, image)) / _per_channel(_SPREAD, image)
    first = relu(_blur_pool(convolved(scaled, 0, 2)))
    second = relu(convolved(_blur_pool(max_pool2d(first, 3, stride=1)), 1, 2))
    third = relu(convolved(_blur_pool(max_pool2d(second, 3, stride=1)), 2, 1))
    fourth = relu(convolved(third, 3, 1))
    return [first, second, third, fourth, relu(convolved(fourth, 4, 1))]


def _blur_pool(y: Tensor) -> Tensor:
    """Halve the sides by the binomial filter (1, 2, 1), two reflected pixels around (arXiv:1904.11486)."""
    row = y.new_tensor((0.25, 0.5, 0.25))
    kernel = (row[:, None] * row).expand(y.shape[1], 1, 3, 3)
    return conv2d(pad(y, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=y.shape[1])


def _layer_distance(a: Tensor, b: Tensor, head: Tensor) -> Tensor:
    """Average the weighted squared difference of the unit features, (b, c, h, w) to (b,)."""
    return conv2d((_unit(a) - _unit(b)).square(), head).mean(dim=(1, 2, 3))


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + _TINY)


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]
