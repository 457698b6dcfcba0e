"""What the command takes at most, measured from outside, beside what is estimated before the work."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from pictures import smooth, write_random_model, write_refining_model
from sr3.diffusion.samplers import SAMPLERS
from sr3.upscaling.memory import bytes_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak has another unit, or none"),
]


# A process counts what its parent held when it was forked. So a small one stands between, and counts its child alone.
BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def peak_memory(*arguments) -> int:
    """Run `sr3 upscale` and return the bytes that it held at most."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    options = ["--device", "cpu", "--dtype", "float32"]
    command = [sys.executable, "-m", "sr3", "upscale", *map(str, arguments), *options]
    process = subprocess.run([sys.executable, "-c", BETWEEN, *command], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return int(process.stdout) * 1024


@pytest.mark.parametrize("way", ["dpmpp-2m", "heun", "ancestral", "probability-flow", "predictor-corrector", "mean"])
def test_the_memory_grows_by_no_more_than_is_reckoned_a_pixel_of_the_result(way, tmp_path):
    file, sampler = tmp_path / "model.safetensors", "ddim" if way == "mean" else way
    if way == "mean":
        model = write_refining_model(file, "sampling.start=mean", "sampling.gamma_first=0.5")
    else:
        model = write_random_model(file)
    peaks = {}
    for side in (96, 192):
        Image.fromarray(smooth(side, side)).save(tmp_path / f"{side}.png")
        options = [
            "--steps",
            2,
            "--sampler",
            sampler,
            "--tile",
            256,
        ]  # at either size windows are as large, and several
        out = tmp_path / "out" / f"{side}.png"
        peaks[side] = peak_memory(tmp_path / f"{side}.png", "-o", out, "--model", model, *options)
        with Image.open(out) as image:
            assert image.size == (4 * side, 4 * side)
    grown = (peaks[192] - peaks[96]) / (16 * (192**2 - 96**2))
    least = 3 * 3 * 4  # three images of three float32 channels, so it is measured
    assert least < grown < bytes_of(SAMPLERS[sampler].traits)
