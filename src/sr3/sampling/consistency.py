"""Back-projection: make the downsampled output equal the input, so that no colour shifts.

Iterative back-projection (Irani and Peleg, 1991): what the downsampled output lacks of the input is enlarged and
added. Each round shrinks the difference, except where it would leave the range of pixels.
"""

import torch

from sr3.images.resize import resize
from sr3.types import Image, LowRes

__all__ = ["match_low_frequencies"]


def match_low_frequencies(
    image: Image, low_res: LowRes, *, rounds: int = 8, cell: int = 1, out: Image | None = None
) -> Image:
    """Correct image (b, c, H, W) so that antialiased bicubic downsampling gives low_res (b, c, h, w), which is smaller.

    Both in [-1, 1]; the result is held there. cell: side in pixels of low_res of what is matched: with 8 the image
    reduced to an eighth of low_res, and finer structure, such as blocks of JPEG, is left alone. out: where the result
    goes, which may be the image itself; None for new memory.
    """
    small = (-(-side // cell) for side in low_res.shape[-2:])
    low_res = low_res if cell == 1 else resize(low_res, *small)
    result = torch.empty_like(image) if out is None else out
    for c in range(image.shape[1]):
        result[:, c : c + 1] = _match(image[:, c : c + 1], low_res[:, c : c + 1], rounds)
    return result


def _match(image: Image, low_res: LowRes, rounds: int) -> Image:
    """Correct one channel; one by one they need a third of the memory."""
    large, small = image.shape[-2:], low_res.shape[-2:]
    for _ in range(rounds):
        image = resize(low_res - resize(image, *small), *large).add_(image).clamp_(-1, 1)
    return image
