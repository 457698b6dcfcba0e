"""The table of speeds: every way does the same work, and ratios are those of the times."""

import itertools
import json

import pytest
import torch

import sr3
from pictures import write_random_model
from sr3.cli.app import run
from sr3.errors import CheckpointError, ConfigError
from sr3.tuning import bench as module
from sr3.tuning.bench import USUAL_CALLS, Plan, bench, describe_machine, time_in_turns

pytestmark = pytest.mark.slow

SMALL = {"side": 16, "batch": 2, "turns": 1, "steps": 2, "device": "cpu"}


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A small model; other processes and other runtimes are only pretended, for their time."""
    monkeypatch.setattr(module.subprocess, "run", lambda command, **_: command)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    return str(write_random_model(tmp_path / "m.safetensors"))


def rows_of(path, **changes):
    return list(bench(Plan(path, **{**SMALL, "dtype": "float32", **changes})))


def test_the_rows_are_a_call_a_picture_and_the_start(path):
    rows = rows_of(path)
    assert [row.section for row in rows] == ["call"] * 4 + ["picture"] * 3 + ["start"] * 3
    assert all(0 < row.least <= row.seconds <= row.most for row in rows)
    assert rows[3].name == "the same, 2 images per call"


def test_every_ratio_is_that_to_the_first_row_of_its_section(path):
    for _, group in itertools.groupby(rows_of(path), lambda row: row.section):
        first, *others = group
        assert first.speedup == 1
        assert all(row.speedup == pytest.approx(first.seconds / row.seconds) for row in others)


def test_the_usual_picture_is_reckoned_from_the_usual_call_and_says_so(path):
    rows = rows_of(path)
    usual = rows[4]
    assert usual.seconds == pytest.approx(USUAL_CALLS * rows[0].seconds)
    assert usual.name == f"{rows[0].name}, 2000 calls"
    assert "estimated" in usual.note


def test_the_calls_of_a_picture_are_counted(path):
    heun = write_random_model(
        module.Path(path).with_name("heun.safetensors"), settings=["sampling.sampler=heun", "sampling.grid=karras"]
    )
    assert [row.name for row in rows_of(str(heun), steps=3)][5:7] == [
        "eager, float32, channels first, 5 calls",
        "sr3 upscale, 5 calls",
    ]


def test_how_far_the_picture_is_from_the_usual_one_is_said(path):
    (exact,) = (row for row in rows_of(path) if row.name.startswith("sr3 upscale, "))
    assert float(exact.note.split()[6]) < 0.01
    (rough,) = (row for row in rows_of(path, dtype="bfloat16") if row.name.startswith("sr3 upscale, "))
    assert 0.01 < float(rough.note.split()[6]) < 3


def test_all_ways_of_a_call_answer_alike(path):
    plan = Plan(path, **SMALL, dtype="float32")
    file = module.read_model(module.Path(path))
    ours = module.load_upscaler(file, device=torch.device("cpu"), dtype=torch.float32)
    ways = module._ways_to_call(file, ours, module._usual(file, torch.device("cpu")), plan)
    answers = [way.run().y0 for way in ways[:3]]
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0], atol=1e-4, rtol=0)
    assert ways[0].run().y0.shape == (1, 3, 16, 16)
    assert ways[3].run().y0.shape == (2, 3, 16, 16)


def test_ways_are_run_in_turns_after_a_first_turn_that_does_not_count():
    order = []
    times = time_in_turns([lambda: order.append("a"), lambda: order.append("b")], 2)
    assert "".join(order) == "ababab"
    assert [len(taken) for taken in times] == [2, 2]


def test_a_new_process_loads_the_same_model(path, monkeypatch):
    commands = []
    monkeypatch.setattr(module.subprocess, "run", lambda command, **_: commands.append(command))
    rows_of(path)
    loaded = []
    monkeypatch.setattr(sr3, "load", lambda model, **_: loaded.append(model))
    for _, option, code in commands:
        assert option == "-c"
        exec(code)
    assert loaded == [path, path]


def test_onnx_runtime_answers_alike(path):
    file = module.read_model(module.Path(path))
    usual = module._usual(file, torch.device("cpu"))
    x, y, gamma = module._inputs(usual, 16, 1)
    (answer,) = module._onnx_caller(file, 16)()
    torch.testing.assert_close(torch.from_numpy(answer), usual.denoiser.network(x, y, gamma), atol=1e-5, rtol=0)


def test_json_is_one_object_and_nothing_else(path, capsys):
    options = ["--side", "16", "--batch", "2", "--turns", "1", "--steps", "2", "--device", "cpu", "--json"]
    assert run(["bench", "--model", path, *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sorted(printed) == ["machine", "plan", "rows"]
    assert len(printed["rows"]) == 10
    assert printed["machine"]["threads"] == describe_machine("cpu")["threads"] == 1


def test_the_table_has_a_line_for_each_row(path, capsys):
    options = ["--side", "16", "--batch", "2", "--turns", "1", "--steps", "2", "--device", "cpu"]
    assert run(["bench", "--model", path, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("one network call", "one image", "until the first call")) for line in lines) == 3
    assert sum("x" in line and " ms - " in line for line in lines) >= 6


def test_what_is_not_there_is_said_before_anything_is_timed(path):
    with pytest.raises(CheckpointError, match="no packaged model"):
        rows_of("nothing")
    with pytest.raises(ConfigError, match="device tpu"):
        rows_of(path, device="tpu")
    with pytest.raises(ConfigError, match=r"sampling\.steps = 0"):
        rows_of(path, steps=0)
