"""What the command takes at most, measured from outside, beside what is estimated before the work."""

import sys

import pytest
from PIL import Image

from pictures import smooth, write_random_model, write_refining_model
from sr3.diffusion.samplers import SAMPLERS
from sr3.upscaling.memory import bytes_of
from started import peak_memory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak has another unit, or none"),
]


SMALL = ("network.width=8", "network.blocks=1")  # images outweigh what the network holds


@pytest.mark.parametrize("way", ["dpmpp-2m", "heun", "ancestral", "probability-flow", "predictor-corrector", "mean"])
def test_the_memory_grows_by_no_more_than_is_estimated_a_pixel_of_the_result(way, tmp_path):
    file, sampler = tmp_path / "model.safetensors", "ddim" if way == "mean" else way
    if way == "mean":
        model = write_refining_model(file, "sampling.start=mean", "sampling.gamma_first=0.5", *SMALL)
    else:
        model = write_random_model(file, settings=SMALL)
    peaks = {}
    for side in (64, 128):
        Image.fromarray(smooth(side, side)).save(tmp_path / f"{side}.png")
        options = ["--steps", 2, "--sampler", sampler]
        options += ["--tile", 192]  # at either size windows are as large, and several
        out = tmp_path / "out" / f"{side}.png"
        options += ["--device", "cpu", "--dtype", "float32"]
        peaks[side] = peak_memory("upscale", tmp_path / f"{side}.png", "-o", out, "--model", model, *options)
        with Image.open(out) as image:
            assert image.size == (4 * side, 4 * side)
    grown = (peaks[128] - peaks[64]) / (16 * (128**2 - 64**2))
    least = 3 * 3 * 4  # three images of three float32 channels, so it is measured
    assert least < grown < bytes_of(SAMPLERS[sampler].traits)
