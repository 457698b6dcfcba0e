"""A run of a graph by ncnn, in a process of its own: a graph that ncnn cannot take may end its process.

    python -m sr3.exchange.ncnn_run GRAPH.param WEIGHTS.bin INPUT.npy OUTPUT.npy

Leaves with 1 when ncnn refuses the graph. Needs the extra `ncnn`; loads neither torch nor the rest of the package.
"""

import importlib
import sys
from typing import Any, cast

import numpy as np

__all__ = ["BLOBS", "main"]

BLOBS = ("in0", "out0")
"""Names of the input and of the output: (c, h, w) float32 in [0, 1]."""


def main(graph: str, weights: str, source: str, target: str) -> int:
    """Compute one image in float32 on the processor."""
    ncnn = cast(Any, importlib.import_module("ncnn"))
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, name, False)
    if network.load_param(graph) or network.load_model(weights):
        return 1
    low_res = np.load(source)  # the Mat shows its memory, so it must stay until that is copied
    found = _extract(network, ncnn.Mat(low_res).clone())
    if found is None:
        return 1
    np.save(target, found)
    return 0


def _extract(network: Any, image: Any) -> np.ndarray[Any, Any] | None:  # noqa: ANN401 (ncnn has no types)
    """Compute; the extractor ends here, since it must not outlive the network."""
    extractor = network.create_extractor()
    extractor.input(BLOBS[0], image)
    failed, found = extractor.extract(BLOBS[1])
    return None if failed else np.array(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
