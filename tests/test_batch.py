"""A worker of a batch engine gives what the library and the command give, row by row."""

import importlib.util
import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sr3
from pictures import smooth, write_pictures, write_random_model
from sr3.batch import Upscale
from sr3.cli.app import run
from sr3.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "batch_ray.py"
DASK = ROOT / "examples" / "batch_dask.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_random_model(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def upscale(model):
    return Upscale(model, steps=2, device="cpu")


def encoded(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_array_becomes_what_the_library_makes_of_it(upscale, model):
    images = np.stack([smooth(8, 12, seed=seed) for seed in range(3)])
    large = upscale({"image": images, "seed": np.array([5, 0, 5]), "label": np.array([7, 8, 9])})
    assert list(large["label"]) == [7, 8, 9]
    assert list(large["error"]) == [None] * 3
    assert large["image"].shape == (3, 32, 48, 3)
    loaded = sr3.load(model, device="cpu")
    for image, seed, found in zip(images, (5, 0, 5), large["image"], strict=True):
        np.testing.assert_array_equal(found, loaded.upscale(image, steps=2, seed=seed))


def test_an_encoded_image_becomes_the_file_that_the_command_writes(upscale, model, tmp_path):
    (tmp_path / "in").mkdir()
    deep = (smooth(8, 8)[..., 0].astype(np.uint16) * 257) ^ 3
    names = {"a.png": smooth(8, 12), "b.png": deep}
    for name, array in names.items():
        (tmp_path / "in" / name).write_bytes(encoded(array))
    words = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model, "--steps", "2", "--seed", "3"]
    assert run(["upscale", *words, "--device", "cpu"]) == 0
    data = [(tmp_path / "in" / name).read_bytes() for name in names]
    large = upscale({"bytes": data, "path": [f"bucket/{name}" for name in names], "seed": [3, 3]})
    assert list(large["error"]) == [None, None]
    assert list(large["bytes"]) == [(tmp_path / "out" / name).read_bytes() for name in names]


def test_a_row_is_the_same_in_every_batch(upscale):
    rows = [encoded(smooth(8, width, seed=width)) for width in (8, 12, 16)]
    together = upscale({"bytes": rows})["bytes"]
    assert list(together[::-1]) == list(upscale({"bytes": rows[::-1]})["bytes"])
    assert [upscale({"bytes": [row]})["bytes"][0] for row in rows] == list(together)


def test_a_bad_image_is_an_error_of_its_row(upscale):
    good = encoded(smooth(8, 8))
    large = upscale({"bytes": [good, b"no image", None, b""], "path": ["s3://x/a.png", "s3://x/b.png", "c", "d"]})
    assert [error is None for error in large["error"]] == [True, False, False, False]
    assert [result is None for result in large["bytes"]] == [False, True, True, True]
    assert all("\n" not in error and "sr3-" not in error for error in large["error"][1:])
    assert [name in error for name, error in zip(("s3://x/b.png", "c", "d"), large["error"][1:], strict=True)] == [
        True
    ] * 3


def test_arrays_of_several_sizes_and_bad_ones_stay_in_order(upscale):
    images = [smooth(8, 8), np.full((8, 8), np.nan), smooth(8, 12)[..., 0], "text"]
    large = upscale({"image": images, "seed": [1, None, None, 1]})
    assert [image.shape for image in large["image"]] == [(32, 32, 3), (0, 0), (32, 48), (0, 0, 3)]
    assert "nan" in large["error"][1]
    assert large["error"][3].startswith("the image: ")


def test_a_seed_that_is_no_whole_number_is_an_error_of_its_row(upscale):
    large = upscale({"image": [smooth(8, 8)] * 2, "seed": np.array([1.5, 2.0])})
    assert all("not an integer" in error for error in large["error"])


def test_settings_that_do_not_fit_end_the_job(upscale, model):
    with pytest.raises(CheckpointError):
        Upscale("no-such-model")
    for wrong in ({"steps": 0}, {"scale": -1}, {"format": "doc"}):
        with pytest.raises(ConfigError):
            Upscale(model, **wrong)
    for batch in ({}, {"image": [], "bytes": []}):
        with pytest.raises(ConfigError, match="'image'"):
            upscale(batch)


def test_scale_and_format_are_those_asked_for(model):
    small = Upscale(model, steps=2, scale=2, format="jpg", device="cpu")
    with Image.open(io.BytesIO(small({"bytes": [encoded(smooth(8, 12))]})["bytes"][0])) as large:
        assert (large.format, large.size) == ("JPEG", (24, 16))


def title(process):
    try:
        return " ".join(process.cmdline())
    except OSError:  # it has ended
        return ""


def start_example(source, target, model):
    words = [sys.executable, str(EXAMPLE), f"file://{source}", f"file://{target}", "--model", model]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    settings = {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "HOME": str(target.parent),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.Popen(
        [*words, "--workers", "2", "--images-per-task", "2"],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
def test_the_example_of_ray_survives_a_killed_worker_and_resumes(model, tmp_path):
    psutil = pytest.importorskip("psutil")
    count = 40
    source, target = write_pictures(tmp_path / "in", count), tmp_path / "out"
    (source / "bad.png").write_bytes(b"no image")
    job = start_example(source, target, model)
    until = time.monotonic() + 300
    busy = []
    while not busy or len(list(target.glob("*.png"))) < 3:
        assert job.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
        busy = [one for one in psutil.Process(job.pid).children(recursive=True) if "Upscale)).submit" in title(one)]
    busy[0].send_signal(signal.SIGKILL)
    assert len(list(target.glob("*.png"))) < count
    out, _ = job.communicate(timeout=400)
    assert job.returncode == 1
    assert sorted(path.name for path in target.iterdir()) == sorted(f"{k}.png.png" for k in range(count))
    done = [line for line in out.splitlines() if line.endswith(": done")]
    assert len(done) == len(set(done)) == count
    assert sum("bad.png" in line for line in out.splitlines()) == 1
    alone = Upscale(model)({"bytes": [(source / "7.png").read_bytes()]})["bytes"][0]
    assert (target / "7.png.png").read_bytes() == alone
    (target / "3.png.png").unlink()
    (source / "bad.png").unlink()
    again = start_example(source, target, model)
    out, _ = again.communicate(timeout=400)
    assert again.returncode == 0
    assert [line for line in out.splitlines() if line.endswith(": done")] == [f"{source / '3.png'}: done"]


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs dask[distributed]")
def test_the_example_of_dask_writes_what_is_missing(model, tmp_path):
    source, target = write_pictures(tmp_path / "in", 5), tmp_path / "out"
    (source / "bad.png").write_bytes(b"no image")
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, str(DASK), f"file://{source}", f"file://{target}", "--model", model]
    job = partial(
        subprocess.run,
        [*words, "--images-per-task", "2"],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    first = job()
    assert first.returncode == 1
    assert sorted(one.name for one in target.iterdir()) == sorted(f"{k}.png.png" for k in range(5))
    assert [line.count("bad.png") for line in first.stdout.splitlines() if not line.endswith(": done")] == [1]
    alone = Upscale(model)({"bytes": [(source / "3.png").read_bytes()]})["bytes"][0]
    assert (target / "3.png.png").read_bytes() == alone
    (target / "2.png.png").unlink()
    again = job()
    assert [line for line in again.stdout.splitlines() if line.endswith(": done")] == [f"{source / '2.png'}: done"]
