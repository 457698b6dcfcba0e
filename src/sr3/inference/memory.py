"""Whether a picture can be held, asked before any work starts."""

import math
import os
from pathlib import Path

from sr3.errors import ImageError

__all__ = ["BYTES_PER_PIXEL", "MAX_SIDE", "check_fits", "free_memory"]

MAX_SIDE = 32_768
"""Longest side of a result in pixels."""

BYTES_PER_PIXEL = 160
"""Memory per pixel of the result: about thirteen float32 pictures of three channels are alive at once."""


def check_fits(path: Path, width: int, height: int, scale: int) -> None:
    """Raise ImageError when the result of a picture of width x height would be too long, or too big for the memory."""
    wide, high = width * scale, height * scale
    if max(wide, high) > MAX_SIDE:
        raise ImageError(
            f"{path}: {width}x{height} would become {wide}x{high}, but results have at most {MAX_SIDE} pixels a side; "
            "crop it or shrink it first"
        )
    needed, free = wide * high * BYTES_PER_PIXEL, free_memory()
    if needed > free:
        raise ImageError(
            f"{path}: a result of {wide}x{high} needs about {needed / 2**30:.1f} GiB of memory, but "
            f"{free / 2**30:.1f} GiB is free; crop it or use a larger machine"
        )


def free_memory() -> float:
    """Bytes the system can give, within the limit of a container; infinite where the system does not say."""
    return min(_system_free(), _container_free())


def _system_free() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _container_free(folder: Path = Path("/sys/fs/cgroup")) -> float:
    try:
        return float((folder / "memory.max").read_text()) - float((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return math.inf
