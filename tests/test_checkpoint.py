"""What is on disk comes back as it was, or is refused in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from sr3.checkpoint import FORMAT, ModelInfo, read_model, write_model
from sr3.errors import CheckpointError
from sr3.presets import preset


def info() -> ModelInfo:
    return ModelInfo(name="m", image_channels=3, step=7, config=preset("tiny-x4"), results={"psnr": 30.5})


def weights() -> dict[str, torch.Tensor]:
    return {"a": torch.randn(3, 4), "b": torch.randn(5)}


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_model_comes_back_as_it_was(tmp_path):
    kept = weights()
    write_model(tmp_path / "m.safetensors", info(), kept, dtype=torch.float32)
    read = read_model(tmp_path / "m.safetensors")
    assert read.info == info()
    assert all(torch.equal(read.weights[name], kept[name]) for name in kept)


def test_half_precision_halves_the_file_and_reads_as_float32(tmp_path):
    write_model(tmp_path / "m.safetensors", info(), {"a": torch.randn(100, 100)}, dtype=torch.float16)
    assert (tmp_path / "m.safetensors").stat().st_size < 25_000
    assert read_model(tmp_path / "m.safetensors").weights["a"].dtype == torch.float32


def test_a_missing_file_is_refused(tmp_path):
    assert "no such file" in refusal(tmp_path / "m.safetensors")


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    write_model(path, info(), weights(), dtype=torch.float32)
    path.write_bytes(path.read_bytes()[:-10])
    assert "not a whole safetensors file" in refusal(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"not weights at all")
    assert "not a whole safetensors file" in refusal(path)


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors")
    assert "not written by sr3" in refusal(tmp_path / "m.safetensors")


@pytest.mark.parametrize("found", [FORMAT + 1, 0, "1", None])
def test_another_format_is_refused_with_what_this_version_reads(tmp_path, found):
    description = json.dumps({"format": found, **info().model_dump(mode="json")})
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors", metadata={"sr3": description})
    assert "upgrade sr3" in refusal(tmp_path / "m.safetensors")


def test_unknown_settings_are_refused(tmp_path):
    description = json.dumps({"format": 1, **info().model_dump(mode="json"), "colour": "red"})
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors", metadata={"sr3": description})
    assert "upgrade sr3" in refusal(tmp_path / "m.safetensors")


def test_weights_with_nan_are_refused(tmp_path):
    write_model(tmp_path / "m.safetensors", info(), {"a": torch.tensor([1.0, float("nan")])}, dtype=torch.float32)
    assert "NaN" in refusal(tmp_path / "m.safetensors")


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_model(tmp_path / "no" / "m.safetensors", info(), weights(), dtype=torch.float32)
