"""Smaller types for an exported graph: half precision, or a U-Net's convolutions in 8-bit integers.

ONNX Runtime's own tools convert the graph. Its input and output stay float32. Needs the extra `export`.
"""

import logging
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from torch import Tensor

from sr3.errors import CheckpointError
from sr3.runtime.int8 import ENDS

__all__ = ["GraphType", "halved", "quantised"]

GraphType = Literal["float32", "float16", "int8"]
"""Type of the weights of a graph and, where the runtime has it, of its arithmetic."""

_WARNINGS, _ERRORS = 2, 3  # of ONNX Runtime's severities; it shows warnings by default


def halved(graph: bytes, *, full: str) -> bytes:
    """Convert weights and arithmetic to float16.

    full: what the names of nodes begin with that stay in float32, since float16 does not hold what they compute.
    """
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = onnx.load_from_string(graph)
    kept = [node.name for node in model.graph.node if node.name.startswith(full)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants that float16 rounds to its least number
        converted: Any = ONNXModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=kept))
    _keep_between(converted.model.graph.node)
    converted.topological_sort()  # the conversion appends casts after the nodes that use them, which ONNX forbids
    return converted.model.SerializeToString()


def _keep_between(nodes: Any) -> None:  # noqa: ANN401 (onnx has no types)
    """Connect nodes that stay in float32 directly: the conversion casts to float16 and back between any two of them."""
    casts = {node.output[0]: node for node in nodes if node.op_type == "Cast"}
    for node in nodes:
        for place, name in enumerate(node.input):
            back = casts.get(name)
            there = casts.get(back.input[0]) if back is not None and back.name.endswith("_cast_to_fp32_node") else None
            if there is not None and there.name.endswith("_cast_to_fp16_node"):
                node.input[place] = there.input[0]


def quantised(graph: bytes, name: str, images: Sequence[Tensor], *, within: tuple[str, ...]) -> bytes:
    """Quantise the convolutions of a U-Net: int8 weights by output channel, uint8 features calibrated on images.

    name, images: the graph's input, and values of it. within: what the names of its nodes may begin with.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[Tensor] = iter(images)

        def get_next(self) -> dict[str, np.ndarray]:
            one = next(self.left, None)
            return {} if one is None else {name: one.numpy()}

    model: Any = onnx.load_from_string(graph)
    chosen = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.name.startswith(within) and not any(f"/{end}/" in node.name for end in ENDS)
    ]
    if not chosen:  # ONNX Runtime would take all of the graph
        raise CheckpointError("int8: no convolutions of a U-Net were found in the graph; export it as float16")
    with TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(graph)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


@contextmanager
def _quiet() -> Generator[None]:
    """Leave out advice: to prepare graphs of known sizes, and on constants that nothing uses."""
    import onnxruntime

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(_ERRORS)
    try:
        yield
    finally:
        root.setLevel(level)
        onnxruntime.set_default_logger_severity(_WARNINGS)
