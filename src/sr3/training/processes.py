"""Distributed training by Hugging Face accelerate: one process, or several on one or many machines.

`accelerate launch -m sr3 train ...` and `torchrun -m sr3 train ...` start several processes. accelerate does not set
the precision: the training step uses autocast itself, so that every way of launching computes the same.
"""

import importlib.util
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr3.errors import ConfigError, TrainingError

__all__ = ["Processes", "open_processes"]

_TIMEOUT = timedelta(hours=2)
"""Time that other processes wait while the first one validates."""


@dataclass(frozen=True)
class Processes:
    """This process within the distributed group."""

    accelerator: Any
    device: torch.device

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def count(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes (all-reduce); returns float64 on the CPU."""
        values = values.double()
        if self.count == 1:
            return values.cpu()
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        return self.accelerator.reduce(values.to(self.device, kind), reduction="sum").cpu().double()

    def join(self, here: dict[str, list[int]]) -> dict[str, list[int]]:
        """Merge the dictionaries of all processes (all-gather)."""
        if self.count == 1:
            return here
        from accelerate.utils import gather_object

        return dict(gather_object(list(here.items())))

    def any(self, here: bool) -> bool:
        """Return whether a condition is true in any process."""
        return here if self.count == 1 else bool(self.total(torch.tensor(float(here))) > 0)

    def wait(self) -> None:
        """Wait for all processes (barrier)."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()


def open_processes(device: torch.device, *, track: str = "none", folder: Path = Path()) -> Processes:
    """Join the process group that a launcher has started, or run as a single process.

    track: name of an accelerate tracker, which writes below folder. Raises ConfigError without the extra `train`
    or the tracker's package, TrainingError for a sharding that is not FSDP 2.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError as error:
        raise ConfigError("training needs accelerate: pip install 'sr3[train]'") from error
    tracking: dict[str, Any] = {"log_with": track, "project_dir": str(folder)} if track != "none" else {}
    if track != "none" and importlib.util.find_spec(track) is None:
        raise ConfigError(f"training.track {track}: is not installed; pip install {track}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_TIMEOUT)],
            **tracking,
        )
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version != 2:
        raise TrainingError("only FSDP 2 is supported for sharding; launch with --use_fsdp --fsdp_version 2")
    return Processes(accelerator, torch.device(accelerator.device))
