"""The conditional inputs of one image of a batch, or of a window of its images."""

from sr3.diffusion.denoiser import ClassAndLevel, Conditioning, LowResInput, MeanFeatures
from sr3.sampling.tiling import Window

__all__ = ["in_window", "of_image"]


def of_image(conditioning: Conditioning, k: int) -> Conditioning:
    """Select the conditional inputs of one image of a batch."""
    match conditioning:
        case ClassAndLevel(labels, levels):
            return ClassAndLevel(labels[k : k + 1], levels[k : k + 1])
        case MeanFeatures(features):
            return MeanFeatures(features[k : k + 1])
        case LowResInput(low_res):
            return LowResInput(low_res[k : k + 1])
        case _:
            return conditioning


def in_window(conditioning: Conditioning, window: Window, *, scale: int) -> Conditioning:
    """Crop the conditional inputs to a window that is aligned to pixels of the low-resolution image."""
    small = Window(*(place // scale for place in window))
    match conditioning:
        case LowResInput(low_res):
            return LowResInput(small.of(low_res))
        case _:
            return conditioning
