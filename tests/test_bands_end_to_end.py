"""Pictures of one band and of four are trained on and upscaled, with their depth."""

import numpy as np
import pytest
import tifffile

from pictures import smooth, write_tiff
from sr3.checkpoint import read_model
from sr3.cli.app import run

pytestmark = pytest.mark.slow

SETTINGS = [
    "training.steps=2",
    "training.batch=2",
    "optimizer.warmup=2",
    "optimizer.learning_rate=5e-4",
    "data.crop=16",
]


def bands(count: int, seed: int, side: int = 32) -> np.ndarray:
    planes = [smooth(side, side, seed=10 * seed + band)[..., 0] for band in range(count)]
    return np.stack(planes, axis=-1).astype(np.uint16) * 257


@pytest.mark.training
@pytest.mark.parametrize(("count", "suffix"), [(4, ".npy"), (4, ".tif"), (1, ".tif"), (1, ".npy")])
def test_a_model_of_bands_is_trained_and_keeps_16_bits(tmp_path, capsys, count, suffix):
    data = tmp_path / "data"
    data.mkdir()
    for seed in range(6):
        array = bands(count, seed)
        if suffix == ".npy":
            np.save(data / f"{seed}.npy", array)
        else:
            write_tiff(data / f"{seed}.tif", array)
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    command = ["train", "tiny-x4", "--data", str(data), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert run([*command, *options]) == 0, capsys.readouterr().err
    assert read_model(tmp_path / "run" / "model.safetensors").info.image_channels == count
    low = tmp_path / f"low{suffix}"
    small = bands(count, 9, side=12)
    if suffix == ".npy":
        np.save(low, small)
    else:
        write_tiff(low, small)
    arguments = ["upscale", str(low), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "run"), "--steps", "2"]
    assert run([*arguments, "--device", "cpu", "--dtype", "float32"]) == 0, capsys.readouterr().err
    result = tmp_path / "out" / low.name
    high = np.load(result) if suffix == ".npy" else tifffile.imread(result)
    assert high.dtype == np.uint16
    assert high.reshape(48, 48, -1).shape[2] == count
    mean = high.reshape(12, 4, 12, 4, count).mean(axis=(1, 3))
    assert np.abs(mean - small.reshape(12, 12, count)).mean() < 1500  # of 65535: the low frequencies are the input's
    assert len(np.unique(high % 257)) > 1  # more than 8 bits are used


def test_a_picture_of_other_bands_than_the_models_is_one_clear_line(tmp_path, capsys):
    np.save(tmp_path / "four.npy", bands(4, 0))
    assert run(["upscale", str(tmp_path / "four.npy"), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sr3: {tmp_path / 'four.npy'}: has 4 channels, and the model ")
    assert error.count("\n") == 1


def test_mixed_bands_are_named_before_the_run(tmp_path, capsys):
    for seed in range(6):
        np.save(tmp_path / f"{seed}.npy", bands(4 if seed else 3, seed))
    assert run(["train", "tiny-x4", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "5 of 6 images cannot be used" in capsys.readouterr().err
