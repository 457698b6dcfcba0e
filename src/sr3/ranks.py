"""Which of several processes this one is, as launchers such as torchrun and accelerate say in the environment."""

import os
from typing import NamedTuple

from sr3.errors import ConfigError

__all__ = ["Ranks", "process_prefix", "read_ranks"]


class Ranks(NamedTuple):
    """Number of this process and how many there are, on all machines and on this one; counted from 0.

    local_rank is None where no launcher has set it.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int | None = None
    local_world_size: int = 1


def read_ranks() -> Ranks:
    """Read RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE; ConfigError when no process can have these numbers."""
    rank, count = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdigit() and count.isdigit() and int(rank) < int(count)):
        raise ConfigError(f"RANK={rank} of WORLD_SIZE={count}: no process has this number; start all with one launcher")
    local, neighbours = os.environ.get("LOCAL_RANK", ""), os.environ.get("LOCAL_WORLD_SIZE", "")
    return Ranks(
        int(rank),
        int(count),
        int(local) if local.isdigit() else None,
        max(1, int(neighbours)) if neighbours.isdigit() else 1,
    )


def process_prefix() -> str:
    """Return what a message begins with in all processes but the first, whatever the environment says."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"process {rank}: "
