"""docs/extending.md: its blocks are written into a copy of the package, which then has what they add."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pictures import write_pictures

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```python\n# (src/\S+), (new|after|before|instead of)(?: `([^\n]*)`)?\n(.*?)^```", re.M | re.S)
MOST_FILES = 3


def sections():
    """Map the titles of the page to their blocks: file, way, anchor, lines."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return {title: BLOCK.findall(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def write_block(root, file, way, anchor, lines):
    """Write one block into the copy; its anchor is the beginning of exactly one line."""
    path = root / file
    if way == "new":
        assert not path.exists()
        path.write_text(lines, encoding="utf-8")
        return
    found = path.read_text(encoding="utf-8").splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(found) if line.startswith(anchor)]
    kept = {"after": [found[place], lines], "before": [lines, found[place]], "instead of": [lines]}[way]
    path.write_text("".join([*found[:place], *kept, *found[place + 1 :]]), encoding="utf-8")


pytestmark = pytest.mark.xdist_group("extended")  # so that the copy is written and compiled once


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with everything that the page adds."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for blocks in sections().values():
        for block in blocks:
            write_block(root, *block)
    write_pictures(root / "photos")
    return root


def run(root, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_addition_touches_three_files_at_most():
    found = {title: {file for file, *_ in blocks} for title, blocks in sections().items()}
    assert list(found) == ["A sampler", "A network", "A degradation", "A metric", "An objective"]
    assert all(1 <= len(files) <= MOST_FILES for files in found.values())
    count = sum(len(blocks) for blocks in sections().values())
    assert count == PAGE.read_text(encoding="utf-8").count("```python")


@pytest.mark.slow
def test_sampler_degradation_and_metric_do_what_they_say(extended):
    code = """
import torch
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.denoiser import Prediction
from sr3.diffusion import SAMPLERS, cosine_grid, last
from sr3.diffusion.process import per_image
from sr3.config import SamplingConfig
from sr3.images.degrade import salt, degrade
from sr3.metrics.brightness import brightness_error
from sr3.metrics.registry import find_metric

def denoise(y, gamma):  # data N(0.3, 0.2^2): the mean of y0 given y
    root, gain = per_image(gamma.sqrt(), y), per_image(0.04 / (0.04 * gamma + 1 - gamma), y)
    y0 = 0.3 + root * gain * (y - root * 0.3)
    return Prediction(y0, (y - root * y0) / per_image((1 - gamma).sqrt(), y))

y, grid = torch.randn(1, 3, 4, 4), cosine_grid(6)
ways = [last(SAMPLERS[name](denoise, y, grid, NoiseSource([0]))) for name in ("straight", "ddim")]
torch.testing.assert_close(*ways)
assert SamplingConfig(sampler="straight").sampler == "straight"

grey = torch.full((3, 64, 64), 100.0)
salted = salt(grey, 0.2, torch.Generator().manual_seed(0))
changed = (salted != grey).all(0).double().mean()
assert abs(float(changed) - 0.2) < 0.02 and set(salted.unique().tolist()) == {0.0, 100.0, 255.0}
assert degrade(grey, 4, "salt", torch.Generator()).shape == (3, 16, 16)

assert float(brightness_error(torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.5 - 2 / 127.5))) - 2 < 1e-5
assert find_metric("brightness_error").title == "brightness"
print("fine")
"""
    assert run(extended, "-c", code) == "fine\n"


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("span-x4-small", ("network.family=shuffle", "data.degradation=salt")),
        ("tiny-x4", ("objective.kind=charbonnier", "sampling.sampler=straight", "sampling.searched=[]")),
    ],
)
def test_network_and_objective_train_and_their_models_upscale(extended, preset, settings):
    out = f"runs-{preset}"
    short = ("training.steps=2", "training.batch=2", "training.validation_images=1", "data.crop=16")
    changes = [part for setting in (*settings, *short) for part in ("--set", setting)]
    train = ["train", preset, "--data", "photos", "--out", out, "--threads", "1", *changes]
    upscale = ["upscale", "photos/0.png", "-o", f"{out}.png", "--model", out, "--threads", "1"]
    run(extended, "-c", f"from sr3.cli.app import run; raise SystemExit(run({train}) or run({upscale}))")
    assert (extended / f"{out}.png").stat().st_size > 0


@pytest.mark.slow
def test_sr3_evaluate_shows_the_metric(extended):
    arguments = (
        "evaluate",
        "--filter",
        "bicubic",
        "--data",
        "photos",
        "--scale",
        "4",
        "--threads",
        "1",
        "-o",
        "report",
    )
    run(extended, "-m", "sr3", *arguments)
    assert '"brightness_error"' in (extended / "report" / "report.json").read_text()
