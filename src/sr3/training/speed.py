"""Training speed as a share of the machine peak, and memory use."""

import math
from dataclasses import dataclass

import torch

from sr3.config import Config
from sr3.data.dataset import PairDataset
from sr3.runtime.device import training_dtype
from sr3.training.estimate import BACKWARD, forward_flops, peak_rate
from sr3.training.processes import Processes

__all__ = ["Speed", "memory_held", "open_speed", "side_of"]


@dataclass
class Speed:
    """FLOPs of an image in a step, and FLOP/s of a large matrix product by all processes together.

    The peak is measured for less than a second, perhaps a busy one, so what is reached later raises it.
    """

    flops_per_image: float
    peak: float

    def share(self, images_per_second: float) -> float:
        """Tell which share of the peak a speed is."""
        reached = self.flops_per_image * images_per_second
        self.peak = max(self.peak, reached)
        return reached / self.peak if self.peak else math.nan


def open_speed(config: Config, processes: Processes, images: PairDataset) -> Speed:
    """Count the FLOPs of an image of these data and measure the peak of this process."""
    taught = config.distillation.teacher_steps if config.distillation else 0
    flops = (BACKWARD + taught) * forward_flops(
        config, image_channels=images.image_channels, side=side_of(config, images)
    )
    half = training_dtype(config.training.precision, processes.device) != torch.float32
    peak = peak_rate(processes.device, torch.bfloat16 if half else torch.float32, seconds=0.4) * processes.count
    return Speed(flops, peak)


def side_of(config: Config, images: PairDataset) -> int:
    """Tell the side of the pictures that are learnt from; of whole ones, that of the first."""
    return config.data.crop or max(images.pair(0, torch.Generator().manual_seed(0)).y0.shape[1:])


def memory_held(processes: Processes) -> int:
    """Tell how many bytes this process holds: on the GPU the most so far, else now."""
    if processes.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(processes.device))
    import psutil  # of the extra `train`, whose absence `open_processes` explains

    return int(psutil.Process().memory_info().rss)
