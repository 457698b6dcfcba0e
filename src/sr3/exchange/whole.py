"""ONNX export of a whole way from the input to the result, for models of one network call: one graph, one picture in.

Programs that run a network as a graph, by ONNX Runtime in any language, need no code of sr3: the mean, the noise, the
network, `flat_detail` and the correction of low frequencies are in the graph. The noise is a fixed field of 512x512
pixels that is repeated, so the same input gives the same result. Needs the extra `export`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from sr3.build import Network
from sr3.checkpoint import ModelFile, describe, read_model
from sr3.config import SamplingConfig
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.noise import NoiseSource
from sr3.errors import ConfigError
from sr3.exchange.export import (
    Exported,
    NetworkCall,
    check_packages,
    checked,
    input_names,
    traced,
    with_metadata,
    write,
)
from sr3.images.flatness import flatness
from sr3.networks.span import SPAN
from sr3.networks.unet import UNet
from sr3.sampling.filling import build_filled
from sr3.sampling.mean_tiles import FLAT_DEVIATION
from sr3.sampling.plan import as_plan
from sr3.types import Image, LowRes
from sr3.zoo import find_model

__all__ = ["NOISE_SIDE", "ROUNDS", "TOLERANCE", "WholeWay", "export_whole"]

NOISE_SIDE = 512
"""Side in pixels of the field of noise, which is repeated."""
ROUNDS = 8
"""Rounds of the correction, as in `sr3.sampling.consistency`."""
TOLERANCE = 0.5 / 255
"""Largest difference of a result in [0, 1] to torch's that is accepted."""
_LEAST = 3
"""Smallest side of an input: flatness reflects the image at its borders by 8 pixels of the result."""


class WholeWay(nn.Module):
    """From low_res (b, c, h, w) in [0, 1] to a picture (b, c, s h, s w) in [0, 1], any h and w from 3 on."""

    names, outputs = ("low_res",), ("picture",)

    def __init__(self, file: ModelFile) -> None:
        """Build the networks of a model file; ConfigError for one that does not answer in one call of a U-Net."""
        super().__init__()
        _check(file)
        config = file.info.config
        self.denoiser: Denoiser[Network] = build_filled(file, torch.device("cpu"))
        network = cast(UNet, self.denoiser.network.to(memory_format=torch.contiguous_format))  # pyright: ignore[reportCallIssue] (missing in torch's types)
        self.call = NetworkCall(network, input_names(file))
        self.sampling, self.channels, self.scale = config.sampling, file.info.image_channels, config.data.scale
        self.shows_mean = config.mean is not None and config.mean.condition == "mean"
        self.gamma = 0.0 if self.sampling.sampler == "regression" else float(as_plan(self.sampling).grid[0])
        noise = NoiseSource([0]).draw((self.channels, NOISE_SIDE, NOISE_SIDE))
        self.register_buffer("noise", noise.half())

    def forward(self, low_res: Tensor) -> Tensor:
        """Enlarge."""
        small = low_res * 2 - 1
        mean = features = None
        if self.denoiser.mean is not None:
            mean, features = cast(SPAN, self.denoiser.mean).mean(small)
        x = mean if mean is not None and self.shows_mean else enlarge(small, self.scale)
        image = self.denoiser.decode(self._clean(x, mean, features), x).clamp(-1, 1)
        if mean is not None and self.sampling.flat_detail < 1:
            calmed = 1 - (1 - self.sampling.flat_detail) * flatness(mean, deviation=FLAT_DEVIATION)
            image = mean + (image - mean) * calmed
        if self.sampling.correct:
            for _ in range(ROUNDS):
                image = (image + enlarge(small - reduce(image, self.scale), self.scale)).clamp(-1, 1)
        return (image + 1) / 2

    def _clean(self, x: Image, mean: Image | None, features: Tensor | None) -> Image:
        """Predict the clean state in one call, from noise, from the noised mean, or from nothing."""
        signal, noise = math.sqrt(self.gamma), math.sqrt(1 - self.gamma)
        y = torch.zeros_like(x) if self.sampling.sampler == "regression" else self._noise_like(x)
        if mean is not None and self.sampling.start == "mean":
            y = signal * self.denoiser.encode(mean, x) + noise * y
        given = {"x": x, "y_t": y, "gamma": torch.full((x.shape[0],), self.gamma, dtype=torch.float64)}
        given |= {} if features is None else {"features": features}
        output = self.call(*(given[name] for name in self.call.names))
        match self.denoiser.prediction:
            case "eps":
                return (y - noise * output) / signal
            case "v":
                return signal * y - noise * output
            case "y0":
                return output

    def _noise_like(self, x: Image) -> Image:
        rows, columns = (torch.arange(side) % NOISE_SIDE for side in x.shape[-2:])
        field = cast(Tensor, self.noise).float().index_select(-2, rows).index_select(-1, columns)
        return field.expand_as(x)

    def drawn(self, size: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Draw smooth images of (batch, height, width), always the same."""
        batch, height, width = size
        coarse = torch.rand((batch, self.channels, 4, 4), generator=torch.Generator().manual_seed(0))
        return (interpolate(coarse, (height, width), mode="bilinear"),)


def enlarge(image: LowRes, scale: int) -> Image:
    """Enlarge by bicubic interpolation, as `sr3.images.resize.upsample`, by convolutions that a graph has."""
    if scale == 1:
        return image
    offsets = torch.arange(-2, 3) + 0.5
    taps = torch.stack([_cubic(offsets - (phase + 0.5) / scale) for phase in range(scale)])

    def along(plane: Tensor) -> Tensor:
        mixed = conv2d(pad(plane, (0, 0, 2, 2)), taps[:, None, :, None])
        return mixed.transpose(1, 2).reshape(plane.shape[0], 1, -1, plane.shape[3])

    return _both_ways(image, along)


def reduce(image: Image, scale: int) -> LowRes:
    """Reduce by antialiased bicubic interpolation, as `sr3.images.resize.downsample`, for sides that scale divides."""
    if scale == 1:
        return image
    first, beyond = (math.floor(scale / 2 + side * scale + 0.5) for side in (-2, 2))
    taps = _cubic((torch.arange(first, beyond) + 0.5 - scale / 2) / scale)[None, None, :, None]

    def along(plane: Tensor) -> Tensor:
        return conv2d(pad(plane, (0, 0, -first, beyond - scale)), taps, stride=(scale, 1))

    return _both_ways(image, along)


def _both_ways(image: Tensor, along: Callable[[Tensor], Tensor]) -> Tensor:
    """Resize by rows and by columns; at borders the weights that are left are made to sum to 1."""
    for _ in range(2):
        high = image.shape[2]
        weights = along(torch.ones(1, 1, high, 1))
        planes = along(image.reshape(-1, 1, high, image.shape[3])) / weights
        image = planes.reshape(image.shape[0], image.shape[1], -1, image.shape[3]).transpose(2, 3)
    return image


def _cubic(distance: Tensor) -> Tensor:
    """Keys' kernel with a = -0.5."""
    d = distance.double().abs()
    near, far = (1.5 * d - 2.5) * d**2 + 1, -0.5 * (((d - 5) * d + 8) * d - 4)
    return torch.where(d < 1, near, torch.where(d < 2, far, 0.0)).float()


def _check(file: ModelFile) -> None:
    config, name = file.info.config, file.info.name
    if config.network.condition == "none" or config.network.answers_in_one_call or config.network.condition_channels:
        raise ConfigError(f"{name}: --whole is for U-Nets that enlarge or restore; take such a model")
    if config.network.condition_level or config.data.enlarged != "full":
        raise ConfigError(
            f"{name}: its input is noised or rounded, which the graph does not do; export it without --whole"
        )
    _check_sampling(config.sampling, name)


def _check_sampling(sampling: SamplingConfig, name: str) -> None:
    if (calls := as_plan(sampling).calls) != 1:
        raise ConfigError(f"{name}: takes {calls} network calls, and --whole is for one; distil it into one call")
    if sampling.correct and sampling.correct_cell != 1:
        raise ConfigError(f"{name}: sampling.correct_cell is not in the graph; set it to 1, or correct to false")


def export_whole(model: str, target: Path) -> Exported:
    """Write a model of one call as one graph, found as for `export_onnx`; errors are the same.

    Its metadata has the settings under `sr3`, and under `sr3_picture` what a program needs: scale, channels, range,
    layout, least side, and the overlap of tiles in pixels of the input.
    """
    check_packages()
    file = read_model(find_model(model))
    call = WholeWay(file).eval()
    rules = {
        "scale": call.scale, "channels": call.channels, "range": [0, 1], "layout": "NCHW", "least_side": _LEAST,
        "tile_overlap": 16, "best_untiled": True,
    }  # fmt: skip
    graph = with_metadata(traced(call), {"sr3": describe(file.info), "sr3_picture": rules})
    done = checked(target, call, graph, file, tolerance=TOLERANCE)
    write(target, graph)
    return done
