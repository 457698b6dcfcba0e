"""Smaller types for an exported graph: half precision, or convolutions in 8-bit integers calibrated on images.

ONNX Runtime's own tools convert the graph. Its input and output stay float32. Needs the extra `export`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from torch import Tensor

__all__ = ["GraphType", "halved", "quantised"]

GraphType = Literal["float32", "float16", "int8"]
"""Type of the weights of a graph and, where the runtime has it, of its arithmetic."""


def halved(graph: bytes) -> bytes:
    """Convert weights and arithmetic to float16; what float16 cannot hold stays float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = onnx.load_from_string(graph)
    converted: Any = convert_float_to_float16(model, keep_io_types=True)
    return converted.SerializeToString()


def quantised(graph: bytes, inputs: Sequence[Tensor], *, name: str, kept: Sequence[str] = ()) -> bytes:
    """Quantise convolutions to int8 weights, each channel by itself, and uint8 activations calibrated on inputs.

    inputs: images as the graph takes them, for its input `name`. kept: parts of the names of convolutions that stay
    float32.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[Tensor] = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            one = next(self.left, None)
            return None if one is None else {name: one.numpy()}

    model: Any = onnx.load_from_string(graph)
    chosen = [
        node.name for node in model.graph.node if node.op_type == "Conv" and not any(part in node.name for part in kept)
    ]
    with TemporaryDirectory() as folder:
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
