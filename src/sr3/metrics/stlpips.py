"""ST-LPIPS: a learned perceptual distance that tolerates small shifts (arXiv:2207.13686), AlexNet variant.

LPIPS (arXiv:1801.03924) on an AlexNet in which every downsampling is a blur with reflected borders and stride 2.
The weights come from the PyPI package `stlpips-pytorch` (BSD-2-Clause), whose code is not imported: it asks for
torchvision, IPython and torchsummary. The network is written here in plain torch. The file knows no model of ours.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad, relu

from sr3.errors import CheckpointError, ImageError
from sr3.types import Image

__all__ = [
    "SMALLEST_SIDE",
    "Backbone",
    "load_stlpips",
    "load_stlpips_maps",
    "load_stlpips_weights",
    "root_distance",
    "stlpips_weight_file",
]

SMALLEST_SIDE = 21
"""Smallest side of an image; below it, the network has too few pixels for reflection padding."""

Backbone = Literal["alex", "vgg"]

_PACKAGE, _FOLDER = "stlpips_pytorch", Path("weights", "vST0.0")
_MEAN = (-0.030, -0.088, -0.188)  # of ImageNet in [-1, 1], as in LPIPS
_SPREAD = (0.458, 0.448, 0.450)
_LAYERS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
_VGG_LAYERS = ((1, (0, 2)), (2, (6, 8)), (3, (12, 14, 16)), (4, (20, 22, 24)), (5, (28, 30, 32)))
_TINY = 1e-10  # keeps features of length 0 finite
_SMALL = 1e-5  # keeps the gradient of a root finite

Weights = Mapping[str, Tensor]


def load_stlpips() -> Callable[[Image, Image], Tensor]:
    """Load the distance: two batches (b, 3, h, w) in [-1, 1] to (b,), 0 for equal images, larger for worse.

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


def load_stlpips_maps(backbone: Backbone = "alex") -> Callable[[Image], list[Tensor]]:
    """Load a network alone, with gradients: images (b, 3, h, w) in [-1, 1] to five maps, fine to coarse.

    backbone: AlexNet or VGG16, both with blurred downsampling. Raises CheckpointError when the weights are not
    installed.
    """
    weights = torch.load(stlpips_weight_file(backbone), map_location="cpu", weights_only=True)
    features = _features if backbone == "alex" else _vgg_features
    here: dict[str, Tensor] = {}

    def maps(image: Image) -> list[Tensor]:
        if not here or next(iter(here.values())).device != image.device:
            here.update({name: weight.to(image) for name, weight in weights.items()})
        return features(image, here)

    return maps


def load_stlpips_weights(backbone: Backbone = "alex") -> list[Tensor]:
    """Load the weights of the channels of each of the five maps, (1, c, 1, 1), as the distance has them."""
    weights = torch.load(stlpips_weight_file(backbone), map_location="cpu", weights_only=True)
    return [weights[f"lin{number}.model.1.weight"] for number in range(len(_LAYERS))]


def root_distance(found: Sequence[Tensor], expected: Sequence[Tensor], heads: Sequence[Tensor]) -> Tensor:
    """Sum over maps of the mean over positions of the square root of the ST-LPIPS term there, shape (b,).

    The root is the length of a difference of vectors at each position, and so a distance, as an energy score needs.
    maps (b, c, h, w), fine to coarse; heads: weights of their channels.
    """
    layers = [
        (conv2d((_unit(a) - _unit(b)).square(), head).clamp(min=0) + _SMALL).sqrt().mean(dim=(1, 2, 3))
        for a, b, head in zip(found, expected, heads, strict=True)
    ]
    return torch.stack(layers).sum(dim=0)


def stlpips_weight_file(backbone: Backbone = "alex") -> Path:
    """Find the weights in their package; CheckpointError when they are not installed."""
    spec, file = find_spec(_PACKAGE), _FOLDER / f"{backbone}_shift_tolerant.pth"
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / file).is_file():
            return Path(folder) / file
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


def _vgg_features(image: Image, weights: Weights) -> list[Tensor]:
    """Return the last activation of each of VGG16's five levels, fine to coarse."""
    y, found = (image - _per_channel(_MEAN, image)) / _per_channel(_SPREAD, image), list[Tensor]()
    for level, numbers in _VGG_LAYERS:
        if found:
            y = _blur_pool(max_pool2d(y, 2, stride=1))
        for number in numbers:
            layer = f"net.slice{level}.{number}"
            y = relu(conv2d(y, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=1))
        found.append(y)
    return found


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
