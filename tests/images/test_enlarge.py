"""The enlarged input, in both precisions."""

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import smooth
from sr3.images.enlarge import enlarge
from sr3.images.resize import upsample


def unit(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 127.5 - 1


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_8_bit_is_bit_equal_to_pillow(scale):
    # Noise, for its overshoots and its many halves.
    picture = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    theirs = Image.fromarray(picture).resize((17 * scale, 13 * scale), Image.Resampling.BICUBIC)
    assert torch.equal(enlarge(unit(picture)[None], scale, "8-bit")[0], unit(np.array(theirs)))


def test_full_is_bicubic_without_rounding():
    picture = unit(smooth(9, 11))
    assert torch.equal(enlarge(picture, 4, "full"), upsample(picture, 4))
    assert float((enlarge(picture, 4, "full") - enlarge(picture, 4, "8-bit")).abs().max()) > 0


def test_any_leading_dimensions_and_types_are_kept():
    picture = unit(smooth(6, 5)).double()
    large = enlarge(picture[None, :, None], 2, "8-bit")
    assert (large.shape, large.dtype) == ((1, 3, 1, 12, 10), torch.float64)
