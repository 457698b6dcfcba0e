"""Free memory of the system or of a device, within the limit of a container."""

import math
import os
from pathlib import Path

import torch

__all__ = ["device_free", "free_memory"]


def device_free(device: torch.device) -> float:
    """Return the free bytes of a device; for a CPU those of the system."""
    if device.type != "cuda":
        return free_memory()
    given_again = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + given_again)


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
        left = float((folder / "memory.max").read_text()) - float((folder / "memory.current").read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        # Files that were read and are not in use count as used, but give way.
        return left + sum(float(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError):
        return math.inf
