"""The share of one process among several started together by accelerate, torchrun or by hand.

Launchers say by RANK and WORLD_SIZE which process this is. Shares are fixed by the order of the jobs, so they never
overlap, and nothing need be said between processes but, at the end, how many failed: a launcher ends all processes as
soon as one ends with an error, so all end together.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist

from sr3.errors import ConfigError
from sr3.ranks import read_ranks

__all__ = ["Share", "open_share", "parse_share", "wait_for_all"]

T = TypeVar("T")
_LONGEST = timedelta(days=30)


class Share(NamedTuple):
    """Process `rank` of `processes`, counted from 0."""

    rank: int = 0
    processes: int = 1

    def of(self, jobs: Sequence[T]) -> Sequence[T]:
        """Take the jobs whose turn is this process's."""
        return jobs[self.rank :: self.processes]


def parse_share(text: str) -> Share:
    """Read I/N, the I-th of N shares, counted from 1; ConfigError for anything else."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--shard {text}: give I/N, such as 1/8 to 8/8")
    return Share(int(number) - 1, int(count))


def open_share() -> Share:
    """Read which process this is; ConfigError when the numbers make no sense."""
    ranks = read_ranks()
    return Share(ranks.rank, ranks.world_size)


def wait_for_all(share: Share, failed: int, total: int) -> tuple[int, int]:
    """Wait until all processes are done and give the sums over all; one's own numbers without a meeting place."""
    if share.processes == 1 or "MASTER_ADDR" not in os.environ:
        return failed, total
    numbers = torch.tensor([failed, total])
    dist.init_process_group("gloo", timeout=_LONGEST)
    dist.all_reduce(numbers)
    dist.destroy_process_group()
    return int(numbers[0]), int(numbers[1])
