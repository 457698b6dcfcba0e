"""Texts of strangers: nested too deeply, in every file that is read."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pictures import write_random_model
from sr3.checkpoint import read_model, write_model
from sr3.config import read_toml
from sr3.errors import CheckpointError, ConfigError
from sr3.evaluation.report import read_report
from sr3.parsing import parse_json, parse_toml
from sr3.study.settings import read_study

DEEP = "[" * 100_000 + "]" * 100_000


def test_64_levels_are_read_and_65_are_not():
    for levels in (64, 65):
        text = "[" * levels + "]" * levels
        for parse, whole in ((parse_json, text), (parse_toml, f"a = {text[1:-1]}")):
            if levels == 64:
                parse(whole)
            else:
                with pytest.raises(ValueError, match="nested more than 64 levels"):
                    parse(whole)


@pytest.mark.slow
@pytest.mark.parametrize("text", [f"a = {DEEP}", ".".join("a" * 5000) + " = 1", f"[{'.'.join('a' * 5000)}]"])
def test_settings_and_studies_nested_too_deeply_are_refused_in_one_line(tmp_path, text):
    with pytest.raises(ConfigError, match="here: not valid TOML: it is nested more than 64 levels deep"):
        read_toml(text, where="here")
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"study\.toml: not valid TOML: it is nested"):
        read_study(tmp_path / "study.toml")


def test_a_report_nested_too_deeply_is_refused_in_one_line(tmp_path):
    (tmp_path / "report.json").write_text(DEEP)
    with pytest.raises(ConfigError, match="is not JSON \\(it is nested"):
        read_report(tmp_path / "report.json")


@pytest.fixture
def rewritten(tmp_path):
    """Write a model file again with other settings, or weights of another type."""
    path = write_random_model(tmp_path / "m.safetensors")
    with safe_open(path, "pt") as file:
        own = file.metadata()["sr3"]

    def write(description=own, dtype=torch.float32):
        weights = {name: weight.to(dtype) for name, weight in load_file(path).items()}
        save_file(weights, tmp_path / "odd.safetensors", metadata={"sr3": description})
        return tmp_path / "odd.safetensors"

    return write


@pytest.mark.slow
def test_a_model_whose_settings_are_nested_too_deeply_is_refused_in_one_line(rewritten):
    for text in (DEEP, json.dumps({"format": 1})[:-1] + ', "x": ' + '{"a": ' * 3000 + "1" + "}" * 3000 + "}"):
        with pytest.raises(CheckpointError, match=r"odd\.safetensors: its settings are damaged \(it is nested"):
            read_model(rewritten(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu", "int8", "bool", "complex64"]
)
def test_weights_of_a_type_that_is_not_read_are_refused_in_one_line(rewritten, name):
    dtype = getattr(torch, name, None)
    if dtype is None:
        pytest.skip("unknown to this torch")
    with pytest.raises(CheckpointError, match=f"is of type {name}; save the weights as one of float32, bfloat16"):
        read_model(rewritten(dtype=dtype))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_other_floats_are_read(rewritten, dtype):
    assert all(weight.dtype == torch.float32 for weight in read_model(rewritten(dtype=dtype)).weights.values())


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"name": "a\x1b[31mb"}, {"data": "from\x07here"}, {"results": {"x\x9b": 1.0}}])
def test_control_characters_in_a_model_are_refused(rewritten, tmp_path, changed):
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        own = json.loads(file.metadata()["sr3"])
    with pytest.raises(CheckpointError, match=r"its settings hold control characters \('[\w\\\[]+'\)") as caught:
        read_model(rewritten(json.dumps(own | changed)))
    assert str(caught.value).isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../a", "a/b", "a\\b", "", "..", "a" * 200])
def test_a_model_whose_name_leads_elsewhere_is_refused(rewritten, tmp_path, name):
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        own = json.loads(file.metadata()["sr3"])
    with pytest.raises(CheckpointError, match="cannot be a file name"):
        read_model(rewritten(json.dumps(own | {"name": name})))


@pytest.mark.slow
def test_a_model_written_under_an_odd_name_is_read(tmp_path):
    model = read_model(write_random_model(tmp_path / "m.safetensors"))
    info = model.info.model_copy(update={"name": "run\x1b[1m" + "x" * 200, "data": "pictures\n"})
    write_model(tmp_path / "n.safetensors", info, model.weights, dtype=torch.float32)
    found = read_model(tmp_path / "n.safetensors").info
    assert found.name == "run-[1m" + "x" * 121
    assert found.data == "pictures\\n"
