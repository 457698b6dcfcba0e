"""The dial between faithful and detailed, and tiles, on the packaged model and a small photograph."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from seams import standing_out, with_seam
from sr3.config import apply_settings
from sr3.errors import ConfigError
from sr3.images.files import read_picture
from sr3.images.resize import downsample
from sr3.metrics.distortion import consistency, psnr, sharpness
from sr3.presets import preset
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import open_upscaler

EXAMPLE = Path(__file__).parents[2] / "examples" / "building.png"


@pytest.fixture(scope="module")
def upscaler():
    return open_upscaler("photos-x4", device="cpu", dtype="float32")


@pytest.mark.slow
def test_more_detail_is_sharper_and_further_from_the_truth(upscaler):
    truth = read_picture(EXAMPLE).pixels[None, :, :128, :128]
    low_res = downsample(truth, 4).clamp(-1, 1)
    results = [
        upscaler.upscale(low_res, sampling=sampling_for(upscaler.info, steps=4, detail=detail), seeds=[0])
        for detail in (0.0, 0.5, 1.0)
    ]
    for less, more in pairwise(results):
        assert float(sharpness(more)) > float(sharpness(less))
        assert float(psnr(more, truth)) < float(psnr(less, truth))
    assert max(float(consistency(result, low_res)) for result in results) < 1e-5


def test_a_regression_has_no_detail_to_choose():
    with pytest.raises(ConfigError, match="leave detail at 1"):
        apply_settings(preset("tiny-x4-regression"), ["sampling.detail=0.5"])


@pytest.mark.slow
def test_tiles_leave_no_seam_and_change_little(upscaler):
    low_res = downsample(read_picture(EXAMPLE).pixels[None, :, :160, :160], 4).clamp(-1, 1)
    sampling = sampling_for(upscaler.info, steps=2)
    whole, cut = (replace(upscaler, tile=tile).upscale(low_res, sampling=sampling, seeds=[0]) for tile in (1024, 112))
    difference = (cut - whole).abs() * 127.5
    assert float(difference.mean()) < 1
    # Windows of 112 begin at 0 and 48, so their borders lie at 48 and 112, and they hand over at 80. On so small a part
    # of a photograph lines that are no border stand out by up to 2, too.
    for dim in (-1, -2):
        assert max(standing_out(cut - whole, (48, 80, 112), dim=dim).values()) < 2
        lifted = with_seam(cut - whole, 80, 1 / 127.5, dim=dim)
        assert standing_out(lifted, (48, 80, 112), dim=dim)[80] > 2
