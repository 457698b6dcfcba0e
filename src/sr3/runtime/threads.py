"""The number of CPU threads: no more than this process may use."""

import math
import os
from pathlib import Path

import torch

from sr3.errors import ConfigError

__all__ = ["check_not_forked", "choose_threads", "given_cores"]

_CGROUP = Path("/sys/fs/cgroup")
_used_in: set[int] = set()
"""The process in which a network was called first; what is forked from it inherits the number."""


def choose_threads(asked: int | None = None) -> int:
    """Let torch compute with so many threads, and return how many.

    None leaves OMP_NUM_THREADS in charge where it is set, and else takes torch's own choice, but no more than the cores
    that affinity and a container's quota leave: with more, threads wait for each other and everything crawls.
    """
    if asked is not None:
        torch.set_num_threads(asked)
    elif not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(min(torch.get_num_threads(), given_cores()))
    return torch.get_num_threads()


def check_not_forked() -> None:
    """Note that this process calls networks; ConfigError in one that was forked from a process that did.

    torch's threads do not survive a fork: such a child would wait for them without end. With one thread it needs none.
    """
    _used_in.update({os.getpid()} if not _used_in else ())
    if os.getpid() not in _used_in and torch.get_num_threads() > 1:
        raise ConfigError(
            "this process was forked from one that has used a model, and would hang waiting for torch's threads; "
            'start it by multiprocessing.get_context("spawn"), or call torch.set_num_threads(1) in it first'
        )


def given_cores() -> int:
    """Count the cores that this process may use: by its affinity, and by the quota of its container, rounded up."""
    return max(1, math.ceil(min(_by_affinity(), _by_quota(_CGROUP))))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _by_quota(folder: Path) -> float:
    """Read the cores of a container's quota, of cgroup version 2 or 1; infinite where there is none."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        quota, period = (
            int((folder / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period")
        )
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
