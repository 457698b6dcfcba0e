"""The speed of a model on this machine, beside a common way to run diffusion networks.

The first way of a section is the yardstick: the same network and weights, eager, float32, channels first, one image a
call, 2000 calls per image. The ways of a section are timed in turns, so that a machine that is slower for a while is so
for all of them, after a first turn that does not count.
"""

import importlib.util
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sr3.checkpoint import ModelFile, read_model
from sr3.diffusion.denoiser import Conditioning, LowResInput, MeanFeatures
from sr3.runtime.device import choose_device, choose_dtype, in_type, laid_out
from sr3.runtime.int8 import leave_uncompiled
from sr3.sampling.filling import build_filled
from sr3.sampling.plan import SamplingPlan, plan_for
from sr3.sampling.upscaler import Upscaler, load_upscaler
from sr3.zoo import find_model

__all__ = ["USUAL_CALLS", "Plan", "Row", "Section", "Way", "bench", "describe_machine", "time_in_turns"]

USUAL_CALLS = 2000
"""Network calls per image of Janspiry's implementation, as many as its training levels."""

Section = Literal["call", "picture", "start"]
_LEVEL = 0.5
_MOST_STARTS = 3


@dataclass(frozen=True)
class Plan:
    """What is measured.

    side: pixels a side of the result. batch: images in the row of several a call. turns: times that each way is run.
    steps: refinement steps of an image, None for the model's. compiles: also torch.compile, which takes minutes.
    """

    model: str
    side: int = 256
    batch: int = 4
    turns: int = 5
    steps: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    compiles: bool = False


@dataclass(frozen=True)
class Row:
    """A way to do the work of its section: median, least and most seconds, and how often it fits into the first's."""

    section: Section
    name: str
    seconds: float
    least: float
    most: float
    speedup: float
    note: str = ""


@dataclass(frozen=True)
class Way:
    """Something to time: run does the work `count` times over."""

    name: str
    run: Callable[[], object]
    count: int = 1
    note: str = ""


def bench(plan: Plan) -> Iterator[Row]:
    """Measure section by section; rows come as a section ends. Errors as for `open_upscaler` and `plan_for`."""
    place = choose_device(plan.device)
    kind = choose_dtype(plan.dtype, place)
    path = find_model(plan.model)
    file = read_model(path)
    sampling = plan_for(file.info, steps=plan.steps)
    plan = _in_whole_pixels(plan, file.info.config.data.scale)
    ours, usual = load_upscaler(file, device=place, dtype=kind), _usual(file, place)
    first_call = _seconds(_caller(ours, plan.side, 1))
    calls = list(_timed("call", _ways_to_call(file, ours, usual, plan), plan.turns))
    yield from calls
    yield from _pictures(ours, usual, sampling, plan, calls[0])
    yield from _starts(path, plan, ours, first_call)


def _in_whole_pixels(plan: Plan, scale: int) -> Plan:
    """Round the side down to a multiple of the scale, for a result has no other."""
    side = max(scale, plan.side // scale * scale)
    if side != plan.side:
        warnings.warn(
            f"--side {plan.side}: is not a multiple of the scale {scale}; {side} is measured instead", stacklevel=3
        )
    return replace(plan, side=side)


def _usual(file: ModelFile, device: torch.device) -> Upscaler:
    """Lay the same network out as the yardstick has it."""
    denoiser = build_filled(file, device).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] (missing in torch's types)
    return Upscaler(file.info, denoiser, device, torch.float32)


_ARITHMETIC = {
    torch.float32: "float32",
    torch.bfloat16: "channels last, bfloat16",
    torch.int8: "channels last, convolutions in int8",
}


def _ways_to_call(file: ModelFile, ours: Upscaler, usual: Upscaler, plan: Plan) -> list[Way]:
    last = replace(ours, denoiser=build_filled(file, ours.device), dtype=torch.float32)
    last.denoiser.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (missing in torch's types)
    ways = [
        Way("eager, float32, channels first", _caller(usual, plan.side, 1)),
        Way("channels last", _caller(last, plan.side, 1)),
    ]
    how = _ARITHMETIC[ours.dtype]
    ways.append(Way(f"sr3 upscale: {how}", _caller(ours, plan.side, 1)))
    ways.append(Way(f"the same, {plan.batch} images per call", _caller(ours, plan.side, plan.batch), plan.batch))
    if plan.compiles:
        compiled = replace(ours, denoiser=laid_out(build_filled(file, ours.device), ours.dtype))
        leave_uncompiled(compiled.denoiser.network)
        compiled.denoiser.network = torch.compile(compiled.denoiser.network)  # pyright: ignore[reportAttributeAccessIssue]
        ways.append(Way("torch.compile", _caller(compiled, plan.side, 1)))
    exports = not ours.info.config.network.answers_in_one_call
    if exports and ours.device.type == "cpu" and all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        ways.append(Way("ONNX Runtime, float32", _onnx_caller(file, plan.side), note="sr3 export"))
    return ways


def _inputs(upscaler: Upscaler, side: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    info = upscaler.info
    x, y = (
        torch.randn((batch, channels, side, side), generator=generator).to(upscaler.device)
        for channels in (info.condition_channels, info.image_channels)
    )
    return x, y, torch.full((batch,), _LEVEL, dtype=torch.float64)


def _caller(upscaler: Upscaler, side: int, batch: int) -> Callable[[], object]:
    x, y, gamma = _inputs(upscaler, side, batch)
    low_res = torch.zeros_like(x[..., :: upscaler.scale, :: upscaler.scale])
    network = upscaler.info.config.network
    conditioning: Conditioning = LowResInput(low_res) if network.sees_low_res else ()
    if network.guide:
        conditioning = MeanFeatures(low_res[:, :1].expand(-1, network.guide, -1, -1))
    denoise = in_type(
        upscaler.denoiser.bind(x, clip=False, conditioning=conditioning), device=upscaler.device, dtype=upscaler.dtype
    )

    @torch.no_grad()
    def call() -> object:
        return denoise(y, gamma)

    return call


def _onnx_caller(file: ModelFile, side: int) -> Callable[[], object]:
    import onnxruntime

    from sr3.exchange.export import trace

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = onnxruntime.InferenceSession(trace(file), options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    x, y = (
        torch.randn((1, channels, side, side), generator=generator).numpy()
        for channels in (file.info.condition_channels, file.info.image_channels)
    )
    values = {"x": x, "y_t": y, "gamma": torch.full((1,), _LEVEL, dtype=torch.float64).numpy()}
    network = file.info.config.network
    if network.guide:
        small = side // file.info.config.data.scale
        values["features"] = torch.zeros(1, network.guide, small, small).numpy()
    return lambda: session.run(None, values)


def _pictures(ours: Upscaler, usual: Upscaler, sampling: SamplingPlan, plan: Plan, call: Row) -> Iterator[Row]:
    """Time whole images; that of 2000 calls is estimated from one call, and says so."""
    low_side = max(1, plan.side // ours.scale)
    generator = torch.Generator().manual_seed(0)
    low_res = torch.rand((1, ours.info.condition_channels, low_side, low_side), generator=generator) * 2 - 1
    results: dict[str, Tensor] = {}

    def draw(name: str, upscaler: Upscaler) -> Callable[[], object]:
        def run() -> None:
            results[name] = upscaler.upscale(low_res, sampling=sampling, seeds=[0]).cpu()

        return run

    few = f"{sampling.calls} call{'s' if sampling.calls > 1 else ''}"
    median, least, most = (USUAL_CALLS * seconds for seconds in (call.seconds, call.least, call.most))
    note = f"estimated: {USUAL_CALLS} times one call"
    yield Row("picture", f"{call.name}, {USUAL_CALLS} calls", median, least, most, 1.0, note)
    ways = [Way(f"{call.name}, {few}", draw("usual", usual)), Way(f"sr3 upscale, {few}", draw("ours", ours))]
    for row in _timed("picture", ways, plan.turns):
        note = ""
        if row.name.startswith("sr3"):
            levels = float((results["ours"] - results["usual"]).abs().mean()) * 127.5
            note = f"differs from the row above by {levels:.2g} levels of 255 on average"
        yield replace(row, speedup=median / row.seconds, note=note)


def _starts(path: Path, plan: Plan, ours: Upscaler, first_call: float) -> Iterator[Row]:
    """Time the ways to a first call: a new process, and a model that is loaded again where all is warm."""
    code = f"import sr3; sr3.load({str(path)!r}, device={plan.device!r}, dtype={plan.dtype!r})"

    def begin() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    def load() -> None:
        load_upscaler(read_model(path), device=ours.device, dtype=ours.dtype)

    ways = [Way("new process: start, import, load", begin), Way("warm: load again", load)]
    rows = list(_timed("start", ways, min(plan.turns, _MOST_STARTS)))
    yield from rows
    share = rows[0].seconds / first_call
    yield Row("start", "first call after loading", first_call, first_call, first_call, share, "run once")


def _timed(section: Section, ways: Sequence[Way], turns: int) -> Iterator[Row]:
    times = time_in_turns([way.run for way in ways], turns)
    first = statistics.median(times[0]) / ways[0].count
    for way, taken in zip(ways, times, strict=True):
        median, least, most = (value / way.count for value in (statistics.median(taken), min(taken), max(taken)))
        yield Row(section, way.name, median, least, most, first / median, way.note)


def time_in_turns(runs: Sequence[Callable[[], object]], turns: int) -> list[list[float]]:
    """Run all functions once, then turns times in turn; the seconds of each function's turns."""
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(turns):
        for run, taken in zip(runs, times, strict=True):
            taken.append(_seconds(run))
    return times


def _seconds(run: Callable[[], object]) -> float:
    _wait()
    began = time.perf_counter()
    run()
    _wait()
    return time.perf_counter() - began


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def describe_machine(device: str = "auto") -> dict[str, str | int]:
    """Name what was measured on: processor or GPU, threads, versions."""
    place = choose_device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else _processor()
    return {
        "device": place.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
