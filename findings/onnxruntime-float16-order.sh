#!/usr/bin/env bash
# An upscaler is exported as ONNX and made half as large by onnxruntime.transformers.float16 with keep_io_types=True, so
# that programs still give and get float32 images.
#
# One expects: a valid ONNX file.
# What happens: the casts of the input are appended behind the nodes that use them. ONNX asks for nodes in the order of
# their use, so onnx.checker refuses the file, and so does onnx's own reference. ONNX Runtime sorts nodes when it loads a
# file and runs it, and who tries the file with ONNX Runtime alone sees nothing; other runtimes that read nodes in order
# get a broken graph. Sorting it once (ONNXModel.topological_sort of onnxruntime.quantization) repairs it.
#
# Versions: Python 3.11, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6. 2026-11-28.
# Output:
#   before the conversion: ['Conv', 'Sub'], valid
#   after it:              ['Conv', 'Sub', 'Cast', 'Cast'], Nodes in a graph must be topologically sorted
#   ONNX Runtime:          runs it, largest difference to float32 0.0002
#   sorted:                ['Cast', 'Conv', 'Sub', 'Cast'], valid
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

mean = numpy_helper.from_array(np.full((1, 1, 3, 3), 1 / 9, np.float32), "mean")
shape = ["b", 1, "h", "w"]
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["picture", "mean"], ["blurred"], pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["picture", "blurred"], ["detail"]),
    ],
    "detail",
    [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("detail", TensorProto.FLOAT, shape)],
    [mean],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def verdict(one):
    try:
        onnx.checker.check_model(one)
    except onnx.checker.ValidationError as error:
        return str(error).split(",")[0]
    return "valid"


def run(one):
    session = onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).random((1, 1, 16, 16), np.float32)
    return session.run(None, {"picture": picture})[0]


def operators(one):
    return [node.op_type for node in one.graph.node]


print(f"before the conversion: {operators(model)}, {verdict(model)}")
exact = run(model)
half = convert_float_to_float16(onnx.load_from_string(model.SerializeToString()), keep_io_types=True)
found = verdict(half)
print(f"after it:              {operators(half)}, {found}")
difference = float(np.abs(run(half) - exact).max())
print(f"ONNX Runtime:          runs it, largest difference to float32 {difference:.4f}")
ordered = ONNXModel(half)
ordered.topological_sort()
print(f"sorted:                {operators(ordered.model)}, {verdict(ordered.model)}")
assert verdict(model) == "valid" and difference < 0.01 and verdict(ordered.model) == "valid"
assert "topologically sorted" in found
PY
