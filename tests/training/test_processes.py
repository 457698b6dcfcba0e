"""Several processes train what one does; a run that is killed ends as one that is not."""

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import started
from pictures import smooth
from shard_files import shards
from sr3.cli.app import run
from sr3.training.state import checkpoints, last_whole
from started import Started, run_script

TESTS = Path(__file__).parents[1]
DRIVE = TESTS / "training" / "drive.py"
SETTINGS = [
    "training.batch=4",
    "optimizer.learning_rate=5e-4",
    "optimizer.warmup=4",
    "training.validate_every=1000",
    "sampling.steps=2",
    "training.deterministic=true",
]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), "OMP_NUM_THREADS": "1"}


def drive(out: Path, *settings: str, processes: int = 1, data: str = "pictures") -> list[float]:
    """Train in one process, or in several that are told of each other as a launcher does; returns the losses."""
    out.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    begun = []
    for rank in range(processes):
        ranks = {"RANK": rank, "WORLD_SIZE": processes, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": processes}
        own = {name: str(value) for name, value in ranks.items()} | meeting if processes > 1 else {}
        begun.append(run_script(DRIVE, out, data, *SETTINGS, *settings, environment={**environment(), **own}))
    for process in begun:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]
    return json.loads((out / "losses.json").read_text())


def drive_by_launcher(out: Path, *settings: str) -> list[float]:
    """Train in two processes under torch's launcher."""
    out.mkdir()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(DRIVE), str(out), "pictures", *SETTINGS, *settings]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "losses.json").read_text())


def tensors(run: Path) -> dict[str, torch.Tensor]:
    found = last_whole(run / "checkpoints")
    assert found is not None
    return load_file(found)


@pytest.mark.training
@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_the_same_batch(tmp_path):
    alone = drive(tmp_path / "alone", "training.steps=6")
    together = drive_by_launcher(tmp_path / "together", "training.steps=6")
    in_parts = drive(tmp_path / "parts", "training.steps=6", "training.accumulate=2", processes=2)
    assert len(alone) == 6
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    np.testing.assert_allclose(in_parts, alone, rtol=1e-4)
    assert not np.allclose(alone[0], alone[1:], rtol=1e-3)  # the comparison could fail
    one, two = tensors(tmp_path / "alone" / "run"), tensors(tmp_path / "together" / "run")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5)


@pytest.mark.training
@pytest.mark.slow
def test_two_processes_whose_devices_make_the_pairs_learn_what_one_does(tmp_path):
    settings = ("training.steps=6", "data.feed=device")
    alone, together = drive(tmp_path / "alone", *settings), drive(tmp_path / "together", *settings, processes=2)
    np.testing.assert_allclose(together, alone, rtol=1e-4)


@pytest.mark.training
@pytest.mark.slow
def test_two_processes_share_the_shards_of_a_stream(tmp_path):
    data = shards(tmp_path, [5, 4, 6, 5], damaged=("2-3",), side=32)
    settings = ["training.steps=12", "training.validation_images=2", "data.shuffle=6"]
    alone = drive(tmp_path / "alone", *settings, data=str(tmp_path))
    together = drive(tmp_path / "together", *settings, processes=2, data=str(tmp_path))
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert len(data.shards) == 4


def photos(folder: Path) -> Path:
    folder.mkdir()
    for seed in range(6):
        Image.fromarray(smooth(48, 48, seed=seed)).save(folder / f"{seed}.png")
    return folder


def command_of(data: Path, out: Path, *settings: str) -> list[str]:
    options = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return ["train", "tiny-x4", "--data", str(data), "--out", str(out), *options, "--device", "cpu"]


def start(data: Path, out: Path, *settings: str) -> started.Started:
    """Begin or resume a run in another process; what it says is added to OUT.log."""
    return started.start(*command_of(data, out, *settings), environment=environment(), files=[said(out)] * 2)


def said(out: Path) -> Path:
    return out.with_name(f"{out.name}.log")


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_bit_for_bit_as_one_that_was_not(tmp_path):
    data = photos(tmp_path / "photos")
    settings = ("training.steps=20", "training.save_every=3", "network.dropout=0.1", "training.ema_others=[0.9]")
    assert start(data, tmp_path / "whole", *settings).wait(timeout=300) == 0
    chance, killed = random.Random(time.time_ns()), 0
    while killed < 3:
        before = [path.name for path in checkpoints(tmp_path / "parts" / "checkpoints")]
        process = start(data, tmp_path / "parts", *settings)
        # Wait for progress, so that three kills are not three starts, then kill at any moment.
        while process.poll() is None:
            if [path.name for path in checkpoints(tmp_path / "parts" / "checkpoints")] != before:
                break
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        killed += 1
    last = start(data, tmp_path / "parts", *settings)
    assert last.wait(timeout=300) == 0, said(tmp_path / "parts").read_text()
    assert killed == 3
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert any(name.startswith("ema-0.9.") for name in whole)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    models = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.slow
def test_a_run_that_is_told_to_end_saves_and_says_so(tmp_path):
    data = photos(tmp_path / "photos")
    process = start(data, tmp_path / "run", "training.steps=100000", "training.save_every=5")
    while not checkpoints(tmp_path / "run" / "checkpoints"):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert "terminated by SIGTERM: saved in" in said(tmp_path / "run").read_text()
    assert last_whole(tmp_path / "run" / "checkpoints") is not None


def with_files_below(size: int, arguments: list[str]) -> None:
    """Run a command that can write no file of more bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    sys.exit(run(arguments))


@pytest.mark.slow
def test_a_disk_that_fills_leaves_the_last_checkpoint_whole(tmp_path):
    data = photos(tmp_path / "photos")
    assert run(command_of(data, tmp_path / "run", "training.steps=5")) == 0
    before = last_whole(tmp_path / "run" / "checkpoints")
    size = before.stat().st_size
    arguments = command_of(data, tmp_path / "run", "training.steps=10")
    process = Started(with_files_below, size // 2, arguments, environment=environment())
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "cannot be written" in errors
    assert errors.count("\n") == 1
    assert last_whole(tmp_path / "run" / "checkpoints") == before
    assert not list((tmp_path / "run" / "checkpoints").glob(".sr3-*"))
    assert run(arguments) == 0
