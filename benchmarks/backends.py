"""Time the network of a one-call model with several CPU backends, and measure how their outputs differ.

    pip install openvino onnx onnxruntime
    python benchmarks/backends.py PHOTO [PHOTO ...] --side 512 --threads 2

PHOTOs are ground-truth photographs; their centre crops of SIDE pixels are downscaled by 4. The backends are timed
alternately, so that a temporarily slow machine affects all of them; the fastest repetition of each is reported. The
difference is the mean absolute error to the images of `sr3 upscale`, in levels of 255. int8 weights and activations are
calibrated on all photographs but the first one (on the first, if there is only one). Backends that are not installed
are omitted.
"""

import argparse
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sr3.checkpoint import read_model
from sr3.diffusion.noise import NoiseSource, mix_seed
from sr3.diffusion.process import diffuse
from sr3.exchange.export import trace
from sr3.images.files import read_picture
from sr3.images.resize import downsample, upsample
from sr3.sampling.consistency import match_low_frequencies
from sr3.sampling.upscaler import Upscaler, open_upscaler
from sr3.zoo import DEFAULT_MODEL, find_model

Run = Callable[[dict[str, np.ndarray]], np.ndarray]


def inputs_of(path: Path, upscaler: Upscaler, side: int) -> tuple[Tensor, dict[str, np.ndarray]]:
    """Build the network inputs for the centre crop of a photograph; also returns the low-resolution image."""
    pixels = read_picture(path).pixels[None]
    top, left = ((size - side) // 2 for size in pixels.shape[-2:])
    truth = pixels[..., top : top + side, left : left + side]
    low_res = ((downsample(truth, 4).clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    sampling = upscaler.info.config.sampling
    with torch.no_grad():
        mean = upscaler.denoiser.mean.mean(low_res)
        x = upsample(low_res, 4) if upscaler.info.config.mean.condition == "enlarged" else mean.picture
        gamma = torch.tensor([sampling.gamma_first], dtype=torch.float64)
        z = diffuse(upscaler.denoiser.encode(mean.picture, x), NoiseSource([mix_seed(0, 0)]).like(x), gamma)
    tensors = {"x": x, "y_t": z, "gamma": gamma, "features": mean.features}
    return low_res, {name: value.contiguous().numpy() for name, value in tensors.items()}


def picture_of(upscaler: Upscaler, low_res: Tensor, given: dict[str, np.ndarray], output: np.ndarray) -> Tensor:
    """Convert the output of the network to the corrected image."""
    x, z, gamma = (torch.from_numpy(given[name]) for name in ("x", "y_t", "gamma"))
    y0 = upscaler.denoiser.read(torch.from_numpy(output).float(), z, gamma).y0
    return match_low_frequencies(upscaler.denoiser.decode(y0, x).clamp(-1, 1), low_res)


def by_torch(network: torch.nn.Module) -> Run:
    """Run a torch network."""

    @torch.no_grad()
    def run(given: dict[str, np.ndarray]) -> np.ndarray:
        x, z, gamma, features = (torch.from_numpy(given[name]) for name in ("x", "y_t", "gamma", "features"))
        return network(x, z, gamma, features=features).numpy()

    return run


def by_onnxruntime(graph: bytes, threads: int) -> Run:
    """Run a graph with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, given)[0]


def by_openvino(graph: bytes, threads: int, given: dict[str, np.ndarray]) -> Run:
    """Run a graph with OpenVINO, compiled for fixed shapes."""
    import openvino

    model = openvino.Core().read_model(graph)
    model.reshape({name: value.shape for name, value in given.items()})
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda given: compiled(given)[0]


def quantised(graph: bytes, calibration: list[dict[str, np.ndarray]]) -> bytes:
    """Quantise convolutions to int8 weights and activations, calibrated on inputs."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        source, ready, target = (Path(folder) / name for name in ("a.onnx", "b.onnx", "c.onnx"))
        source.write_bytes(graph)
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


def backends_of(model: str, upscaler: Upscaler, given: list[dict[str, np.ndarray]], threads: int) -> dict[str, Run]:
    """Prepare all installed backends, the default one first."""
    network = upscaler.denoiser.network
    ways = {"sr3 upscale: torch, float32": by_torch(network)}
    last = open_upscaler(model, device="cpu", dtype="float32").denoiser.network.to(memory_format=torch.channels_last)
    ways["torch, channels last"] = by_torch(last)
    ways["torch.compile"] = by_torch(torch.compile(last))
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        graph = trace(read_model(find_model(model)))
        small = quantised(graph, given[1:] or given)
        ways["ONNX Runtime, float32"] = by_onnxruntime(graph, threads)
        ways["ONNX Runtime, int8"] = by_onnxruntime(small, threads)
        if importlib.util.find_spec("openvino"):
            ways["OpenVINO, float32"] = by_openvino(graph, threads, given[0])
            ways["OpenVINO, int8"] = by_openvino(small, threads, given[0])
    return ways


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    upscaler = open_upscaler(options.model, device="cpu", dtype="float32")
    pairs = [inputs_of(path, upscaler, options.side) for path in options.photos]
    low_res, given = pairs[0]
    ways = backends_of(options.model, upscaler, [one for _, one in pairs], options.threads)
    pictures = {name: picture_of(upscaler, low_res, given, run(given)) for name, run in ways.items()}
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(options.turns):
        for name, run in ways.items():
            began = time.perf_counter()
            run(given)
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    first = next(iter(ways))
    print(f"{options.model}, {options.side}x{options.side}, {options.threads} threads\n")
    print("| backend | s per call | speedup | difference, levels of 255 |\n|---|---:|---:|---:|")
    for name in ways:
        levels = float((pictures[name] - pictures[first]).abs().mean()) * 127.5
        print(f"| {name} | {seconds[name]:.2f} | {seconds[first] / seconds[name]:.2f} | {levels:.3f} |")


if __name__ == "__main__":
    main()
