"""Reports on disk, and what has moved since an earlier one."""

import json

import pytest

from sr3.errors import ConfigError
from sr3.evaluation.report import (
    UNFINISHED,
    FigureEntry,
    MethodEntry,
    Report,
    check,
    differing_settings,
    read_report,
    write_report,
)


def report(psnr=26.0, *, border=0, pictures=("a", "b"), name="bicubic"):
    figure = FigureEntry(value=psnr, low=None, high=None, pictures=2)
    method = MethodEntry(settings={}, figures={"psnr": figure}, pictures={one: {"psnr": psnr} for one in pictures})
    return Report(
        protocol={"border": border}, inputs={}, environment={}, metrics={}, methods={name: method}, differences=[]
    )


def test_a_report_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "report.json"
    write_report(path, report("inf"))
    assert read_report(path) == report("inf")
    assert json.loads(path.read_text())["methods"]["bicubic"]["figures"]["psnr"]["value"] == "inf"


def test_a_figure_may_move_within_its_tolerance():
    assert not check(report(26.0), report(26.009), {})
    (moved,) = check(report(26.0), report(26.02), {})
    assert moved.text == "bicubic: psnr was 26.02, is 26, tolerance 0.01"
    assert not check(report(26.0), report(26.02), {"psnr": 0.03})
    assert check(report(26.0), report(26.009), {"psnr": 0.001})


def test_infinite_and_missing_figures_have_moved():
    assert check(report(26.0), report("inf"), {})
    assert not check(report("inf"), report("inf"), {})
    now = report()
    now.methods["bicubic"].figures.clear()
    assert "is missing now" in check(now, report(), {})[0].text


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"border": 4}, "another border: 4, now 0"),
        ({"pictures": ("a", "c")}, "of other images"),
        ({"name": "lanczos"}, "lanczos: is in the earlier report"),
    ],
)
def test_reports_made_in_different_ways_are_not_compared(other, complaint):
    with pytest.raises(ConfigError, match=complaint):
        check(report(), report(**other), {})


def test_an_unfinished_report_is_nothing_to_compare_with():
    before = report().model_copy(update={"notes": [UNFINISHED]})
    with pytest.raises(ConfigError, match="the earlier report is not finished"):
        check(report(), before, {})


def test_settings_that_differ_are_said_and_those_an_earlier_report_does_not_tell_are_not():
    before, now = report(), report()
    before.methods["bicubic"].settings.update({"seed": 1, "clip": True, "levels": list(range(100)), "old": 1})
    now.methods["bicubic"].settings.update({"seed": 2, "clip": True, "levels": list(range(99)), "device": "cpu"})
    seed, levels, old = differing_settings(now, before)
    assert seed == "bicubic: seed was 1, is 2"
    assert levels.startswith("bicubic: levels was [0, 1, 2, ")
    assert levels.endswith("96, 97, 98]")
    assert len(levels) < 200
    assert old == "bicubic: old was 1, is missing"
    assert differing_settings(report(), report()) == []


def test_what_is_no_report_is_said(tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_report(path)
    for text, complaint in (
        ("hello", "is not JSON"),
        ("[]", "has format None"),
        ('{"format": 7}', "has format 7"),
        ('{"format": 1}', "is damaged"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=complaint):
            read_report(path)
