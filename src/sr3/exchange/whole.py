"""Export of a whole way from the input to the result, for models of one network call: one graph, one picture in.

Programs that run a network as a graph, by ONNX Runtime in any language, need no code of sr3: the mean, the noise, the
network, `flat_detail` and the correction of low frequencies are in the graph. The noise is a fixed field of 512x512
pixels that is repeated, so the same input gives the same result. Needs the extra `export`; `exchange.ncnn` makes of the
same way what ncnn runs.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad, pixel_shuffle

from sr3.build import Network
from sr3.checkpoint import ModelFile, describe, read_model
from sr3.config import SamplingConfig
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.noise import NoiseSource
from sr3.errors import ConfigError, ImageError
from sr3.exchange.compared import Exported, averaged, checked
from sr3.exchange.export import (
    METADATA,
    NetworkCall,
    check_packages,
    input_names,
    traced,
    with_metadata,
    write,
)
from sr3.exchange.smaller import GraphType, halved, quantised
from sr3.images.files import read_picture
from sr3.images.flatness import flatness
from sr3.networks.span import SPAN
from sr3.networks.unet import NONE, UNet
from sr3.sampling.filling import build_filled
from sr3.sampling.mean_tiles import FLAT_DEVIATION
from sr3.sampling.plan import as_plan
from sr3.types import Image, LowRes
from sr3.zoo import find_model

__all__ = ["LEAST_SIDE", "NOISE_SIDE", "ROUNDS", "TOLERANCE", "WholeWay", "export_whole"]

NOISE_SIDE = 512
"""Side in pixels of the field of noise, which is repeated."""
ROUNDS = 8
"""Rounds of the correction, as in `sr3.sampling.consistency`."""
TOLERANCE = 0.5 / 255
"""Largest difference of a result in [0, 1] to torch's that is accepted."""
LEAST_SIDE = 3
"""Smallest side of an input: flatness reflects the image at its borders by 8 pixels of the result."""
_LEVEL = 1 / 255
_NETWORK = ("/call/network/", "/network/")  # what the names of its nodes begin with, of any size and of a fixed one
_FLATNESS = "/flatness/"
_CALIBRATED_SIDE = 128
"""Largest side in pixels of the middle of an image that int8 is calibrated on."""
_OVERLAP = 16  # pixels of the input to each side of a tile that its inner part depends on


class Flatness(nn.Module):
    """How flat a mean is, as the sampler sees it; a module, so that a graph has its name before those of its nodes."""

    def forward(self, mean: Image) -> Tensor:
        """Compute it, (b, 1, h, w), for images (b, c, h, w) in [-1, 1]."""
        return flatness(mean, deviation=FLAT_DEVIATION, average=pooled_mean)


class WholeWay(nn.Module):
    """From low_res (b, c, h, w) in [0, 1] to a picture (b, c, s h, s w) in [0, 1].

    h and w are any from 3 on, or always `side`, where that is set.
    """

    names, outputs = ("low_res",), ("picture",)

    def __init__(self, file: ModelFile, side: int | None = None) -> None:
        """Build the networks of a model file; ConfigError for one that does not answer in one call of a U-Net."""
        super().__init__()
        _check(file)
        if side is not None and side < LEAST_SIDE:
            raise ConfigError(f"--side {side}: must be {LEAST_SIDE} or more")
        config, self.side = file.info.config, side
        denoiser = build_filled(file, torch.device("cpu"))
        network = cast(UNet, denoiser.network.to(memory_format=torch.contiguous_format))  # pyright: ignore[reportCallIssue] (missing in torch's types)
        self.call, self.mean = NetworkCall(network, input_names(file)), cast(SPAN | None, denoiser.mean)
        self.restoration = None if denoiser.restoration is None else cast(SPAN, denoiser.restoration.network)
        self.flatness = Flatness()
        self._denoiser = (denoiser,)  # not a module of this one, since converters take no module under two names
        self.sampling, self.channels, self.scale = config.sampling, file.info.image_channels, config.data.scale
        self.shows_mean = config.mean is not None and config.mean.condition == "mean"
        self.gamma = 0.0 if self.sampling.sampler == "regression" else float(as_plan(self.sampling).grid[0])
        noise = NoiseSource([0]).draw((self.channels, NOISE_SIDE, NOISE_SIDE))
        if side is not None:
            places = torch.arange(side * self.scale) % NOISE_SIDE
            noise = noise[..., places, :][..., places]
        self.register_buffer("noise", noise.half().reshape(self.channels, *noise.shape[-2:]))

    @property
    def denoiser(self) -> Denoiser[Network]:
        """The process around the network."""
        return self._denoiser[0]

    def forward(self, low_res: Tensor) -> Tensor:
        """Enlarge."""
        small = low_res * 2 - 1
        if self.restoration is not None:
            small = (
                cast(Denoiser[SPAN], self.denoiser.restoration)
                .decode(self.restoration.answer(small), small)
                .clamp(-1, 1)
            )
        mean = features = None
        if self.mean is not None:
            mean, features = self.mean.mean(small)
        x = mean if mean is not None and self.shows_mean else enlarge(small, self.scale)
        image = self.denoiser.decode(self._clean(x, mean, features), x).clamp(-1, 1)
        if mean is not None and self.sampling.flat_detail < 1:
            calmed = 1 - (1 - self.sampling.flat_detail) * self.flatness(mean)
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
        if self.side is None:
            output = self.call(*(given[name] for name in self.call.names))
        else:  # of a fixed size the network pads by itself
            output = self.call.network(x, y, given["gamma"], features=NONE if features is None else features)
        match self.denoiser.prediction:
            case "eps":
                return (y - noise * output) / signal
            case "v":
                return signal * y - noise * output
            case "y0":
                return output

    def _noise_like(self, x: Image) -> Image:
        if self.side is not None:
            return x * 0 + cast(Tensor, self.noise).float()  # so that converters see a batch
        rows, columns = (torch.arange(side) % NOISE_SIDE for side in x.shape[-2:])
        field = cast(Tensor, self.noise).float().index_select(-2, rows).index_select(-1, columns)
        return field.expand_as(x)

    def drawn(self, size: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Draw smooth images of (batch, height, width), always the same."""
        batch, height, width = size
        coarse = torch.rand((batch, self.channels, 4, 4), generator=torch.Generator().manual_seed(0))
        return (interpolate(coarse, (height, width), mode="bilinear"),)


def pooled_mean(image: Image, side: int) -> Image:
    """Average over windows, as `sr3.images.local.local_mean`, by poolings that a graph has."""
    reach = side // 2
    around = pad(image, (reach,) * 4, mode="reflect" if min(image.shape[-2:]) > reach else "replicate")
    return avg_pool2d(avg_pool2d(around, (side, 1), 1), (1, side), 1)


def enlarge(image: LowRes, scale: int) -> Image:
    """Enlarge by bicubic interpolation, as `sr3.images.resize.upsample`, by convolutions that a graph has."""
    if scale == 1:
        return image
    offsets = torch.arange(-2, 3) + 0.5
    taps = torch.stack([_cubic(offsets - (phase + 0.5) / scale) for phase in range(scale)])
    kernels = torch.einsum("pi,qj->pqij", taps, taps).reshape(-1, 1, 5, 5)

    def spread(planes: Tensor) -> Tensor:
        weights = _each_channel(kernels, planes)
        return pixel_shuffle(conv2d(planes, weights, padding=2, groups=int(planes.shape[1])), scale)

    return spread(image) / spread(torch.ones(1, 1, *image.shape[-2:]))


def reduce(image: Image, scale: int) -> LowRes:
    """Reduce by antialiased bicubic interpolation, as `sr3.images.resize.downsample`, for sides that scale divides."""
    if scale == 1:
        return image
    first, beyond = (math.floor(scale / 2 + side * scale + 0.5) for side in (-2, 2))
    taps = _cubic((torch.arange(first, beyond) + 0.5 - scale / 2) / scale)
    kernel = torch.outer(taps, taps)[None, None]

    def gathered(planes: Tensor) -> Tensor:
        padded = pad(planes, (-first, beyond - scale) * 2)
        return conv2d(padded, _each_channel(kernel, planes), stride=scale, groups=int(planes.shape[1]))

    return gathered(image) / gathered(torch.ones(1, 1, *image.shape[-2:]))


def _each_channel(kernels: Tensor, planes: Tensor) -> Tensor:
    """Repeat kernels for every channel, by numbers and not by operations, so that a graph knows their shape."""
    return torch.tensor(kernels.repeat(int(planes.shape[1]), 1, 1, 1).tolist())


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
            f"{name}: noise is added to its input, or the input is rounded, which the graph does not do; export it "
            "without --whole"
        )
    _check_sampling(config.sampling, name)


def _check_sampling(sampling: SamplingConfig, name: str) -> None:
    if (calls := as_plan(sampling).calls) != 1:
        raise ConfigError(f"{name}: takes {calls} network calls, and --whole is for one; distil it into one call")
    if sampling.correct and sampling.correct_cell != 1:
        raise ConfigError(f"{name}: sampling.correct_cell is not in the graph; set it to 1, or correct to false")


def export_whole(
    model: str,
    target: Path,
    *,
    side: int | None = None,
    kind: GraphType = "float32",
    calibration: Sequence[Path] = (),
) -> Exported:
    """Write a model of one call as one graph, found as for `export_onnx`; errors are the same.

    side: height and width of the input in a graph of fixed size, for one image at a time. kind: the type of its weights
    and arithmetic; int8 is for the U-Net's convolutions, calibrated on small images as the model will get them.

    The metadata has the settings under `sr3`, and under `sr3_picture` what a program needs: scale, channels, range,
    layout, least side, type, and the overlap of tiles in pixels of the input; with a fixed size also what QGIS Deepness
    reads. A graph that differs from torch by more than half a level is not kept; in int8, by a level on average.
    """
    check_packages()
    file = read_model(find_model(model))
    call = WholeWay(file, side).eval()
    images = [_calibration_image(path, call) for path in calibration]
    if (kind == "int8") != bool(images):
        raise ConfigError("int8 is calibrated on images as the model will get them, and only int8: give both or none")
    rules = {
        "scale": call.scale, "channels": call.channels, "range": [0, 1], "layout": "NCHW", "least_side": LEAST_SIDE,
        "type": kind, "tile_overlap": _OVERLAP, "best_untiled": True,
    }  # fmt: skip
    metadata = {METADATA: describe(file.info), "sr3_picture": rules}
    if side is not None:
        percent = min(50, math.ceil(100 * 2 * _OVERLAP / side))
        metadata |= {"model_type": "Superresolution", "tile_size": side, "tiles_overlap": percent}
    size = None if side is None else (1, side, side)
    graph = traced(call, size)
    if kind == "int8":
        graph = with_metadata(quantised(graph, call.names[0], images, within=_NETWORK), metadata)
        done = averaged(target, call, graph, file, images, tolerance=_LEVEL)
    else:
        graph = with_metadata(halved(graph, full=_FLATNESS) if kind == "float16" else graph, metadata)
        done = checked(target, call, graph, file, tolerance=TOLERANCE, sizes=None if size is None else [size])
    write(target, graph)
    return done


def _calibration_image(path: Path, call: WholeWay) -> Tensor:
    """Read the middle of an image, (1, c, h, w) in [0, 1]."""
    pixels = read_picture(path).pixels
    if pixels.shape[0] != call.channels:
        raise ImageError(
            f"{path}: has channels: {pixels.shape[0]}, but the model takes {call.channels}; calibrate it on images of "
            "that number"
        )
    most = call.side or _CALIBRATED_SIDE
    least = call.side or LEAST_SIDE
    if min(pixels.shape[-2:]) < least:
        raise ImageError(f"{path}: is smaller than {least} pixels; calibrate the model on larger images")
    top, left = (max(0, side - most) // 2 for side in pixels.shape[-2:])
    return ((pixels[..., top : top + most, left : left + most] + 1) / 2)[None].contiguous()
