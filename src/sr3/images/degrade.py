"""What spoils a picture before a network sees it. Everything random is an argument.

Works on (..., h, w) in float. The file knows no picture format and no pixel range.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["blur_reach", "gaussian_blur"]

TRUNCATE = 4.0
"""Half-width of a kernel in standard deviations, rounded up to whole pixels."""


def blur_reach(deviation: float) -> int:
    """Pixels to each side that a blur looks at."""
    return int(TRUNCATE * deviation + 0.5)


def gaussian_blur(image: Tensor, deviation: float) -> Tensor:
    """Blur (c, h, w) by a Gaussian of a standard deviation in pixels, repeating the border; 0 changes nothing."""
    if deviation <= 0:
        return image
    reach = blur_reach(deviation)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / deviation) ** 2)
    kernel = (kernel / kernel.sum()).to(image).reshape(1, 1, -1, 1)
    planes = image[:, None]
    planes = functional.conv2d(functional.pad(planes, (0, 0, reach, reach), mode="replicate"), kernel)
    planes = functional.conv2d(functional.pad(planes, (reach, reach, 0, 0), mode="replicate"), kernel.mT)
    return planes[:, 0]
