"""Upscale every file of a folder, each in a process with limits of time and memory, and count the outcomes.

An outcome is good if it is one clear error line or a correct image: four times as wide and high as the oriented input
and, downscaled again, equal to the input as read by Pillow. All files are then tried again in one run, where each must
have the same outcome as alone. Prints a table in Markdown, then the bad outcomes. The time limit is one of CPU time, so
that other work on the machine does not count; a process that hangs is killed too. The model is a network of the tiny
preset with random weights and one step, since this tests files and not image quality. Needs fork (Linux, macOS).
"""

import argparse
import hashlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

SECONDS, MEMORY = 10, 2 * 2**30
PATIENCE = 9
"""Limit of wall-clock time, as a factor of the limit of CPU time."""
SCALE = 4
FREE, WHOLE = 2.0, 16.0
"""Allowed mean difference of a downscaled result from its input, in levels of 255: at unclipped pixels, and overall.

Low frequencies are corrected, so where no pixel of the result is black or white only rounding remains: at most half a
level in the result and half a level from downscaling. Near edges between black and white the correction cannot match
the input; icons that consist of such edges reach 11 levels. Swapped channels, a rotation or a wrong palette cause tens
of levels in most images.
"""
ENDS = ("picture", "one line", "other output", "traceback", "too slow", "too much memory", "killed")
GOOD = ENDS[:2]


class End(NamedTuple):
    """The outcome of a file, and its output."""

    path: Path
    kind: str
    said: str
    seconds: float
    digest: str = ""
    """SHA-256 of the result, if it is correct."""


def write_model(path: Path) -> None:
    """Write a model of the tiny preset with random weights."""
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
    """Upscale a file in a child process with a time limit. memory: limit on top of the memory of this process."""
    with tempfile.TemporaryDirectory() as folder:
        code, text, took, out = _run([path], model, Path(folder), seconds=seconds, memory=memory)
        if took > seconds:
            return End(path, "too slow", text[-300:], took)
        kind, why = _classify(code, text, out, path)
        digest = _digest(next(out.iterdir())) if kind == "picture" else ""
        return End(path, kind, why[-300:], took, digest)


def try_together(alone: Sequence[End], model: Path, *, seconds: float = SECONDS, memory: int = MEMORY) -> list[str]:
    """Upscale the files in one run, and list those with another outcome than alone, one per line.

    A file that takes about as long as `--max-time` may be refused in one run and not in the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        links = [Path(folder) / "in" / f"{k:05}{end.path.suffix}" for k, end in enumerate(alone)]
        for link, end in zip(links, alone, strict=True):  # unique names, because results could share a name
            link.symlink_to(end.path.resolve())
        code, text, took, out = _run(links, model, Path(folder), seconds=seconds * len(alone), memory=memory)
        lines = [line for line in text.splitlines() if not line.startswith("sr3: warning: ")]
        made = {path.stem: path for path in out.iterdir()} if out.exists() else {}
        wrong: list[str] = []
        for link, end in zip(links, alone, strict=True):
            own = [line for line in lines if line.startswith(f"sr3: {link}: ")]
            late = any("--max-time" in line for line in (end.said, *own))
            digest = _digest(made.pop(link.stem)) if link.stem in made else ""
            if not late and (digest, len(own)) != (end.digest, int(end.kind == "one line")):
                wrong.append(f"{end.path}: {end.kind} alone, but together {own or 'another picture or none'}")
        refused = sum(line.startswith(f"sr3: {folder}") for line in lines)
        expected = 0 if not refused else 2 if refused == len(alone) else 1
        if (code, made, len(lines)) != (expected, {}, refused) or took > seconds * len(alone):
            wrong.append(f"together: exit code {code} after {took:.1f} s, {sorted(made)} left, {text[-300:]}")
        return wrong


def _run(
    paths: Sequence[Path], model: Path, folder: Path, *, seconds: float, memory: int
) -> tuple[int, str, float, Path]:
    """Run the command in a child process; returns exit code, output, seconds and folder of results."""
    out, said = folder / "out", folder / "said"
    child = os.fork()
    if child == 0:
        _child(paths, model, out, said, memory)
    code, took = _wait(child, time.monotonic() + PATIENCE * seconds)
    return code, said.read_text(errors="replace").strip() if said.exists() else "", took, out


def _child(paths: Sequence[Path], model: Path, out: Path, said: Path, memory: int) -> None:
    """Run the command in this child process; never returns."""
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
        code = run(["upscale", *map(str, paths), "-o", str(out), *options])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: float) -> tuple[int, float]:
    """Wait for a child; returns its exit code, negative for a signal, and its seconds, infinite if it was killed."""
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL, float("inf")
        time.sleep(0.02)


def _classify(code: int, text: str, out: Path, path: Path) -> tuple[str, str]:
    """Classify the outcome of a file; also returns the reason."""
    lines = [line for line in text.splitlines() if not line.startswith("sr3: warning: ")]
    if "MemoryError" in text or "memory ran out" in text:
        return "too much memory", text
    if "Traceback" in text:
        return "traceback", text
    if code < 0:
        return "killed", text
    if code == 2 and len(lines) == 1 and lines[0].startswith("sr3: "):
        return "one line", text
    if code == 0 and not lines and len(made := list(out.iterdir())) == 1:
        wrong = what_is_wrong(path, made[0])
        return ("other output", wrong) if wrong else ("picture", text)
    return "other output", text


def what_is_wrong(path: Path, made: Path) -> str:
    """Compare a result with its input as read by Pillow; returns an error, or an empty string.

    The size is always compared. Pixels are compared for grey and colour of 8 bits (Pillow reads the upper 8 of 16)
    without transparency. For files that Pillow cannot read, such as TIFF of floats, the size as read by sr3 is used.
    """
    import numpy as np
    from PIL import Image, ImageFilter, ImageOps

    with warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(path) as image:
                image.load()
        except Exception:  # Pillow plugins raise many types
            return _size_is_wrong(path, made)
    with warnings.catch_warnings(action="ignore"), Image.open(path) as image, Image.open(made) as result:
        image.load()
        result.load()
        with suppress(Exception):  # damaged EXIF, which has no orientation
            ImageOps.exif_transpose(image, in_place=True)
        if result.size != (SCALE * image.width, SCALE * image.height):
            return f"is {result.width}x{result.height}, the input {image.width}x{image.height}"
        if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
            return ""
        kind = "L" if image.mode in ("1", "L") else "RGB"
        pixels, truth = result.convert(kind), np.asarray(image.convert(kind), float)
    difference = np.abs(np.asarray(pixels.resize(image.size, Image.Resampling.BICUBIC), float) - truth)
    ends = Image.merge(kind, [band.point([255, *[0] * 254, 255]) for band in pixels.split()])
    # Of SCALE x SCALE pixels any, and two more of the input on each side, as far as bicubic reads.
    held = np.asarray(ends.reduce(SCALE).point(lambda value: 255 * (value > 0)).filter(ImageFilter.MaxFilter(5)))
    free = difference[held == 0]
    if difference.mean() > WHOLE or (free.size and free.mean() > FREE):
        where = f"{free.mean():.1f} where it is free" if free.size else "nowhere free"
        return f"differs from the input by {difference.mean():.1f} levels when shrunk, {where}"
    return ""


def _size_is_wrong(path: Path, made: Path) -> str:
    from sr3.images.files import picture_size

    wide, high = picture_size(path)
    found = picture_size(made)
    return "" if found == (SCALE * wide, SCALE * high) else f"is {found[0]}x{found[1]}, the input {wide}x{high}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kind_of(path: Path) -> str:
    """Name the format that a file claims to have."""
    return path.suffix.lower().lstrip(".") or path.parent.name


def table(ends: list[End]) -> str:
    """Count the outcomes per kind of file, as Markdown."""
    kinds = Counter(kind_of(end.path) for end in ends)
    common = [kind for kind, _ in kinds.most_common(11)]
    counts = Counter((kind_of(end.path) if kind_of(end.path) in common else "others", end.kind) for end in ends)
    rows = [*common, "others"] if len(kinds) > len(common) else common
    lines = ["| files | " + " | ".join(ENDS) + " |", "|---|" + "---:|" * len(ENDS)]
    lines += [f"| {row} | " + " | ".join(str(counts[row, end]) for end in ENDS) + " |" for row in rows]
    total = Counter(end.kind for end in ends)
    return "\n".join([*lines, f"| all {len(ends)} | " + " | ".join(str(total[end]) for end in ENDS) + " |"])


def main() -> int:
    """Try all files and print the table; returns 1 when an outcome is bad."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", type=Path, help="write the outcome of each file to this file")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    import sr3.upscaling.jobs  # noqa: F401 (loaded before the fork)

    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny.safetensors"
        write_model(model)
        with ProcessPoolExecutor(options.workers, mp_context=get_context("fork")) as pool:
            ends = list(pool.map(partial(try_file, model=model), files))
        well = [end for end in ends if end.kind in GOOD]
        wrong = try_together(well, model) if well else []
    print(table(ends))
    print(f"\nslowest: {max(end.seconds for end in ends):.1f} s")
    print(f"in one run: {len(well)} files, {len(wrong)} with another outcome than alone")
    if options.list:
        lines = [f"{end.kind}\t{end.path}\t{end.seconds:.1f}\t{' '.join(end.said.split())}" for end in ends]
        options.list.write_text("\n".join(lines) + "\n")
    bad = [end for end in ends if end.kind not in GOOD]
    for end in bad:
        print(f"{end.path}: {end.kind} after {end.seconds:.1f} s: {end.said}")
    for line in wrong:
        print(line)
    return 1 if bad or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
