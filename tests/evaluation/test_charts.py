"""Plots say what they show."""

import xml.etree.ElementTree as ElementTree

import pytest

from sr3.evaluation.charts import per_picture_chart, rank_chart


def test_every_picture_has_a_mark_of_each_method_as_high_as_its_figure():
    values = {"one": {"a": 3.0, "b": 1.0, "c": 2.0}, "<other>": {"a": 1.0, "b": 2.0, "c": 3.0}}
    chart = ElementTree.fromstring(per_picture_chart(values, digits=1))
    marks = chart.findall("circle")
    assert [mark.find("title").text for mark in marks[:3]] == ["b, one: 1.0", "c, one: 2.0", "a, one: 3.0"]
    assert marks[3].find("title").text == "b, <other>: 2.0"
    heights = {mark.find("title").text: float(mark.get("cy")) for mark in marks}
    assert heights["a, one: 3.0"] < heights["c, one: 2.0"] < heights["b, one: 1.0"]
    assert heights["c, one: 2.0"] == pytest.approx((heights["a, one: 3.0"] + heights["b, one: 1.0"]) / 2, abs=0.1)
    assert [float(mark.get("cx")) for mark in marks[:3]] == sorted(float(mark.get("cx")) for mark in marks[:3])


def test_a_picture_without_a_figure_of_the_first_method_comes_last():
    values = {"one": {"b": 2.0}, "none": {}, "other": {"a": 1.0, "b": 2.0}}
    marks = ElementTree.fromstring(per_picture_chart(values, digits=1)).findall("circle")
    assert [mark.find("title").text for mark in marks] == ["b, one: 2.0", "b, other: 2.0", "a, other: 1.0"]


def test_figures_that_are_all_alike_are_drawn_too():
    chart = ElementTree.fromstring(per_picture_chart({"one": {"a": 1.0, "b": 1.0}}, digits=2))
    assert len(chart.findall("circle")) == 2


def test_bars_are_as_high_as_the_shares_of_ranks():
    chart = ElementTree.fromstring(rank_chart({"one": [0.5, 0.25, 0.25]}))
    heights = [float(bar.get("height")) for bar in chart.findall("rect")]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[1] == heights[2]
    assert chart.find("rect/title").text == "one: 0.500 of the truth above 0 of 2 samples"
