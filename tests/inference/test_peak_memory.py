"""What the command takes at most, measured from outside, beside what is reckoned with before the work."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from pictures import smooth, write_random_model
from sr3.config import SamplingConfig
from sr3.inference.memory import bytes_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak has another unit, or none"),
]


def peak_memory(*arguments) -> int:
    """Run `sr3 upscale` and return the bytes that it held at most."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    options = ["--device", "cpu", "--dtype", "float32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sr3", "upscale", *map(str, arguments), *options],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1024


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "heun", "probability-flow", "predictor-corrector"])
def test_the_memory_grows_by_no_more_than_is_reckoned_a_pixel_of_the_result(sampler, tmp_path):
    model = write_random_model(tmp_path / "model.safetensors")
    peaks = {}
    for side in (96, 256):
        Image.fromarray(smooth(side, side)).save(tmp_path / f"{side}.png")
        way = ["--steps", 2, "--sampler", sampler, "--tile", 256]  # at either size windows are as large, and several
        out = tmp_path / "out" / f"{side}.png"
        peaks[side] = peak_memory(tmp_path / f"{side}.png", "-o", out, "--model", model, *way)
        with Image.open(out) as image:
            assert image.size == (4 * side, 4 * side)
    grown = (peaks[256] - peaks[96]) / (16 * (256**2 - 96**2))
    assert (
        3 * 12 < grown < bytes_of(SamplingConfig(sampler=sampler))
    )  # at least three pictures of three float32 channels, so it is measured
