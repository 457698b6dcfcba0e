"""ONNX export of one network call for any batch size, height and width, with the settings in the metadata.

What is exported is f(x, y_t, gamma) as the network answers it; what the answer means is in the settings
(`denoiser.prediction`, `denoiser.target`). gamma stays float64, as everywhere, for levels near 1. The graph is traced
and then run by ONNX Runtime on other sizes than the traced one, beside torch; a file that differs is not kept.
Needs the extra `export`.
"""

import importlib.util
import json
import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sr3.atomic import whole_file
from sr3.checkpoint import ModelFile, describe, read_model
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.compared import TOLERANCE, Call, Exported, checked
from sr3.networks.span import SPAN
from sr3.networks.unet import NONE, UNet
from sr3.sampling.filling import build_filled
from sr3.zoo import find_model

__all__ = [
    "METADATA",
    "NetworkCall",
    "check_packages",
    "export_onnx",
    "input_names",
    "mean_path",
    "trace",
    "traced",
    "with_metadata",
    "write",
]

METADATA = "sr3"
"""Key of the description in the file's metadata, the same JSON as in a model file."""

_OPSET = 17
_MOST_BYTES = 2**31 - 2**20  # of protobuf, less room for the graph
_TRACED = (2, 16, 24)


class NetworkCall(nn.Module):
    """The network with its inputs in a fixed order, sides padded by gathering, which a graph can do at any size."""

    outputs = ("output",)

    def __init__(self, network: UNet, names: tuple[str, ...]) -> None:
        """Take a network and the names of its inputs."""
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the network."""
        values = dict(zip(self.names, inputs, strict=True))
        y_t, multiple = values["y_t"], self.network.size_multiple
        height, width = y_t.shape[-2:]
        rows = torch.arange((height + multiple - 1) // multiple * multiple).clamp(max=height - 1)
        columns = torch.arange((width + multiple - 1) // multiple * multiple).clamp(max=width - 1)
        y_t = y_t.index_select(-2, rows).index_select(-1, columns)
        x = values["x"].index_select(-2, rows).index_select(-1, columns) if "x" in values else y_t[:, :0]
        features = values.get("features", NONE)
        if "features" in values:
            scale = self.network.config.stem * 2**self.network.guide_level
            high, wide = (torch.arange(side.shape[0] // scale) for side in (rows, columns))
            high, wide = high.clamp(max=features.shape[-2] - 1), wide.clamp(max=features.shape[-1] - 1)
            features = features.index_select(-2, high).index_select(-1, wide)
        class_and_level = values.get("labels", NONE), values.get("levels", NONE)
        out = self.network(x, y_t, values["gamma"], *class_and_level, features=features)
        return out[..., :height, :width]

    def drawn(self, size: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Draw inputs of (batch, height, width), always the same."""
        generator, (batch, height, width) = torch.Generator().manual_seed(0), size
        network, config = self.network, self.network.config
        pictures, scale = (batch, network.image_channels, height, width), config.stem * 2**network.guide_level
        seen = (batch, network.condition_channels, height, width)
        drawn = {
            "x": torch.rand(seen, generator=generator) * 2 - 1,
            "y_t": torch.randn(pictures, generator=generator),
            "gamma": torch.rand(batch, generator=generator, dtype=torch.float64),
            "labels": torch.randint(0, config.classes + 1, (batch,), generator=generator),
            "levels": torch.rand(batch, generator=generator, dtype=torch.float64),
            "features": torch.randn(
                (batch, config.guide, -(-height // scale), -(-width // scale)), generator=generator
            ),
        }
        return tuple(drawn[name] for name in self.names)


class _MeanCall(nn.Module):
    """The small network of a mean: from the input to its image and its features."""

    names, outputs = ("low_res",), ("picture", "features")

    def __init__(self, network: SPAN) -> None:
        super().__init__()
        self.network = network

    def forward(self, low_res: Tensor) -> tuple[Tensor, Tensor]:
        picture, features = self.network.mean(low_res)
        return picture, features

    def drawn(self, size: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Draw inputs of (batch, height, width), always the same."""
        batch, height, width = size
        shape = (batch, self.network.image_channels, height, width)
        return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1,)


def export_onnx(model: str, target: Path) -> list[Exported]:
    """Write a model, found by name, path or run folder, as ONNX; the network of its mean, if it has one, beside it.

    The second file is called as `mean_path` says.

    Raises ConfigError without the extra `export`, CheckpointError when the model is too large for one file, when the
    disk refuses, or when ONNX Runtime does not give what torch gives.
    """
    check_packages()
    file = read_model(find_model(model))
    if file.info.config.restoration is not None:
        raise ConfigError(
            f"{file.info.name}: has a restoration network, which this graph leaves out; export it with --whole"
        )
    if sum(weight.numel() * 4 for weight in file.weights.values()) > _MOST_BYTES:
        raise CheckpointError(
            f"{file.info.name}: has more weights than one ONNX file holds (2 GiB); export a smaller model"
        )
    calls: dict[Path, Call] = {target: _call_of(file)}
    if file.info.config.mean is not None:
        calls[mean_path(target)] = _MeanCall(cast(SPAN, build_filled(file, torch.device("cpu")).mean)).eval()
    graphs = {path: with_metadata(traced(call), {METADATA: describe(file.info)}) for path, call in calls.items()}
    done = [checked(path, call, graphs[path], file, tolerance=TOLERANCE) for path, call in calls.items()]
    for path, graph in graphs.items():
        write(path, graph)
    return done


def check_packages() -> None:
    """Raise ConfigError without the extra `export`."""
    if missing := [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"sr3 export needs {' and '.join(missing)}, which is not installed: pip install 'sr3[export]'"
        )


def write(path: Path, graph: bytes) -> None:
    """Write a graph or its weights atomically; CheckpointError when the disk refuses."""
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(graph)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def mean_path(target: Path) -> Path:
    """Name the file of a mean beside that of the network that refines it."""
    return target.with_name(f"{target.stem}-mean{target.suffix}")


def trace(file: ModelFile) -> bytes:
    """Create the graph of a model alone, without settings and without a check."""
    return traced(_call_of(file))


def _call_of(file: ModelFile) -> NetworkCall:
    if file.info.config.network.answers_in_one_call:
        raise ConfigError(
            f"{file.info.name}: is of family {file.info.config.network.family}, and only U-Nets are exported as ONNX; "
            "give one"
        )
    network = build_filled(file, torch.device("cpu")).network.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] (missing in torch's types)
    return NetworkCall(network, input_names(file)).eval()


def input_names(file: ModelFile) -> tuple[str, ...]:
    """Name the inputs of a network in the order of its graph."""
    network = file.info.config.network
    names = ["x"] if network.condition == "picture" else []
    names += ["y_t", "gamma"]
    names += ["labels"] if network.classes else []
    names += ["levels"] if network.condition_level else []
    return (*names, *(["features"] if network.guide else []))


def traced(call: Call, size: tuple[int, int, int] | None = None) -> bytes:
    """Trace a call into a graph whose batch, height and width are those given, or free."""
    numbers, pictures = {0: "batch"}, {0: "batch", 2: "height", 3: "width"}
    smaller = {0: "batch", 2: "small_height", 3: "small_width"}
    axes = {name: numbers for name in ("gamma", "labels", "levels")} | {"features": smaller, "low_res": smaller}
    names = (*call.names, *call.outputs)
    buffer = BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # of tracing, and that it is the older way: it is correct, and twenty times faster
        torch.onnx.export(
            cast(nn.Module, call),
            call.drawn(size or _TRACED),
            buffer,  # pyright: ignore[reportArgumentType] (the older way takes files)
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(call.names),
            output_names=list(call.outputs),
            dynamic_axes=None if size else {name: axes.get(name, pictures) for name in names},
        )
    return buffer.getvalue()


def with_metadata(graph: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Put JSON values into the graph's metadata, and check the whole."""
    import onnx

    model: Any = onnx.load_from_string(graph)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    return model.SerializeToString()
