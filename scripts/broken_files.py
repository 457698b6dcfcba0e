"""Upscale every file of a folder, each in a process of its own with little time and memory, and count how it ends.

A file ends well as a picture of the right size or as one clear line. Prints a table in Markdown, then what ended badly.
Time is the processor's, so that other work on the machine does not count, but a file that hangs is given up too.
Uses a network of the tiny preset with weights at random and one step, since the files are the question and not the
pictures. Needs a system with fork (Linux, macOS).
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

SECONDS, MEMORY = 10, 2 * 2**30
PATIENCE = 9
"""Times as long a file may take by the clock."""
ENDS = ("picture", "one line", "other output", "traceback", "too slow", "too much memory", "killed")
GOOD = ENDS[:2]


class End(NamedTuple):
    """How a file ended, and what was said."""

    path: Path
    kind: str
    said: str
    seconds: float


def write_model(path: Path) -> None:
    """Write a model of the tiny preset, its weights as they are drawn."""
    import torch

    from sr3.build import build_denoiser
    from sr3.checkpoint import ModelInfo, write_model
    from sr3.presets import preset

    torch.manual_seed(0)
    config = preset("tiny-x4")
    network = build_denoiser(config, image_channels=3).network
    info = ModelInfo(name=path.stem, image_channels=3, step=0, config=config)
    write_model(path, info, network.state_dict(), dtype=torch.float32)


def try_file(path: Path, model: Path, *, seconds: float = SECONDS, memory: int = MEMORY) -> End:
    """Upscale a file in a child that is killed when it takes too long; memory is what it may add to this process's."""
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "out", Path(folder) / "said"
        child = os.fork()
        if child == 0:
            _child(path, model, out, said, memory)
        code, took = _wait(child, time.monotonic() + PATIENCE * seconds)
        text = said.read_text(errors="replace") if said.exists() else ""
        return End(path, "too slow" if took > seconds else _judge(code, text, out), text.strip()[-300:], took)


def _child(path: Path, model: Path, out: Path, said: Path, memory: int) -> None:
    """Become the command; never returns."""
    code = 70
    try:
        sys.stdout.flush()
        for stream, name in ((1, os.devnull), (2, said)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
        if sys.platform == "linux":
            held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
        from sr3.cli.app import run

        options = ["--model", str(model), "--steps", "1", "--device", "cpu", "--max-time", "5s", "--format", "png"]
        code = run(["upscale", str(path), "-o", str(out), *options])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: float) -> tuple[int, float]:
    """Wait for a child; give its exit code, negative for a signal, and its seconds, endless if it had to be killed."""
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL, float("inf")
        time.sleep(0.02)


def _judge(code: int, text: str, out: Path) -> str:
    from PIL import Image

    lines = [line for line in text.splitlines() if not line.startswith("sr3: warning: ")]
    if "MemoryError" in text or "memory ran out" in text:
        return "too much memory"
    if "Traceback" in text:
        return "traceback"
    if code < 0:
        return "killed"
    if code == 2 and len(lines) == 1 and lines[0].startswith("sr3: "):
        return "one line"
    if code == 0 and not lines and len(made := list(out.iterdir())) == 1:
        with Image.open(made[0]) as image:
            image.load()
            return "picture" if image.width % 4 == image.height % 4 == 0 else "other output"
    return "other output"


def kind_of(path: Path) -> str:
    """Name the format that a file pretends to be of."""
    return path.suffix.lower().lstrip(".") or path.parent.name


def table(ends: list[End]) -> str:
    """Count the ends of each kind of file, as Markdown."""
    kinds = Counter(kind_of(end.path) for end in ends)
    common = [kind for kind, _ in kinds.most_common(11)]
    counts = Counter((kind_of(end.path) if kind_of(end.path) in common else "others", end.kind) for end in ends)
    rows = [*common, "others"] if len(kinds) > len(common) else common
    lines = ["| files | " + " | ".join(ENDS) + " |", "|---|" + "---:|" * len(ENDS)]
    lines += [f"| {row} | " + " | ".join(str(counts[row, end]) for end in ENDS) + " |" for row in rows]
    total = Counter(end.kind for end in ends)
    return "\n".join([*lines, f"| all {len(ends)} | " + " | ".join(str(total[end]) for end in ENDS) + " |"])


def main() -> int:
    """Try all files and print the table; 1 when a file ended badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", type=Path, help="write how each file ended to this file")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    import sr3.inference.jobs  # noqa: F401 (so that children need not load it)

    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny.safetensors"
        write_model(model)
        with ProcessPoolExecutor(options.workers, mp_context=get_context("fork")) as pool:
            ends = list(pool.map(partial(try_file, model=model), files))
    print(table(ends))
    print(f"\nslowest: {max(end.seconds for end in ends):.1f} s")
    if options.list:
        lines = [f"{end.kind}\t{end.path}\t{end.seconds:.1f}\t{' '.join(end.said.split())}" for end in ends]
        options.list.write_text("\n".join(lines) + "\n")
    bad = [end for end in ends if end.kind not in GOOD]
    for end in bad:
        print(f"{end.path}: {end.kind} after {end.seconds:.1f} s: {end.said}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
