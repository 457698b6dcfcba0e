"""Training speed as a share of the peak FLOP/s of the machine, and memory use."""

import math
from dataclasses import dataclass
from functools import cache

import torch

from sr3.config import Config
from sr3.data.dataset import PairDataset
from sr3.runtime.device import training_dtype
from sr3.training.estimate import BACKWARD, forward_flops, peak_rate
from sr3.training.processes import Processes

__all__ = ["Speed", "memory_held", "open_speed", "side_of"]


@dataclass
class Speed:
    """FLOPs per image and step, and the peak: FLOP/s of a large matrix product on all processes together.

    The peak is measured once in a process, for less than a second, so a faster training step raises it later.
    """

    flops_per_image: float
    peak: float

    def share(self, images_per_second: float) -> float:
        """Compute a training speed as a share of the peak."""
        reached = self.flops_per_image * images_per_second
        self.peak = max(self.peak, reached)
        return reached / self.peak if self.peak else math.nan


def open_speed(config: Config, processes: Processes, images: PairDataset) -> Speed:
    """Count the FLOPs per image and measure the peak of this process."""
    teacher_calls = config.distillation.teacher_steps if config.distillation else 0
    flops = (BACKWARD + teacher_calls) * forward_flops(
        config, image_channels=images.image_channels, side=side_of(config, images)
    )
    half = training_dtype(config.training.precision, processes.device) != torch.float32
    peak = _peak_rate(processes.device, torch.bfloat16 if half else torch.float32) * processes.count
    return Speed(flops, peak)


@cache
def _peak_rate(device: torch.device, dtype: torch.dtype) -> float:
    return peak_rate(device, dtype, seconds=0.4)


def side_of(config: Config, images: PairDataset) -> int:
    """Return the side of the training crops in pixels; without crops, the longer side of the first image."""
    return config.data.crop or max(images.pair(0, torch.Generator().manual_seed(0)).y0.shape[1:])


def memory_held(processes: Processes) -> int:
    """Return the bytes in use by this process: on a GPU the maximum so far, else the current number."""
    if processes.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(processes.device))
    import psutil  # from the extra `train`; `open_processes` raises without it

    return int(psutil.Process().memory_info().rss)
