"""A process that is forked from one that has used a model."""

import os
import subprocess
import sys

import pytest

from pictures import write_random_model

PROGRAM = """
import os, sys
import torch, numpy, sr3
torch.set_num_threads(2)
model, image = sr3.load(sys.argv[1], device="cpu", dtype="float32"), numpy.zeros((32, 32, 3), numpy.float32)
model.upscale(image, steps=1)
child = os.fork()
if child == 0:
    if sys.argv[2] == "one":
        torch.set_num_threads(1)
    try:
        model.upscale(image, steps=1)
        print("an image", flush=True)
    except sr3.Sr3Error as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize(
    ("threads", "said"), [("two", "was forked from one that has used a model"), ("one", "an image")]
)
def test_a_forked_child_says_why_it_cannot_compute_and_with_one_thread_computes(tmp_path, threads, said):
    model = write_random_model(tmp_path / "m.safetensors")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(model), threads]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    assert said in process.stdout
