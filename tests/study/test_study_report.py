"""`sr3 study report`: the same figures in every file, and one clear line where there is nothing to report."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from scipy.stats import binomtest

from sr3.cli.app import run
from sr3.study.plot import Bar, plot_shares
from sr3.study.store import Answer
from sr3.study.subject_session import open_study
from studies import make_study, nonce, write_pictures, write_study


@pytest.fixture
def held(tmp_path):
    """A study of five subjects: number 5 fails its checks, number 4 has not finished."""
    config = make_study(tmp_path, settings='questions = ["camera"]\ndesign = "mixed"')
    study = open_study(config)
    for number in range(1, 6):
        token = study.consent("", nonce=nonce())
        while (place := study.store.place(token)).trial is not None:
            if number == 4 and place.done == 3:
                break
            wrong = number == 5 or (place.trial.method == "noisy" and place.trial.image < "img4")
            choice = "first" if place.trial.truth_first != wrong else "second"
            study.view(token, place.token, nonce=nonce())
            study.answer(token, place.token, Answer(choice, 3.01, 0.0167, 0.5 + number, "row", 64.0, 1.0))
    study.store.close()
    return tmp_path


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_report_agrees_with_the_answers_counted_one_by_one(held, capsys):
    assert run(["study", "report", "--config", str(held / "study.toml")]) == 0
    answers = rows(held / "report" / "answers.csv")
    assert len(answers) == 4 * 6 + 3
    assert {row["subject"] for row in answers if row["counted"] == "1"} == {"1", "2", "3"}
    shown = capsys.readouterr().out
    for row in rows(held / "report" / "methods.csv"):
        own = [a for a in answers if a["method"] == row["method"] and a["kind"] == "pair" and a["subject"] in "123"]
        fooled = sum(a["choice"] != a["truth"] for a in own)
        interval = binomtest(fooled, len(own)).proportion_ci(0.95, method="wilson")
        assert (int(row["answers"]), int(row["fooled"])) == (len(own), fooled) == (6, fooled)
        expected = (fooled / 6, interval.low, interval.high)
        assert [float(row[key]) for key in ("fool_rate", "low_95", "high_95")] == pytest.approx(expected)
        assert f"{fooled / 6:.1%}  95% interval {interval.low:.1%} to {interval.high:.1%}" in shown
    subjects = rows(held / "report" / "subjects.csv")
    assert [row["left_out"] for row in subjects] == ["", "", "", "not finished", "failed attention checks"]
    assert [row["median_response_s"] for row in subjects] == ["1.5", "2.5", "3.5", "", ""]
    assert {row["method"] for row in rows(held / "report" / "images.csv")} == {"blurred", "noisy"}


@pytest.mark.slow
def test_the_json_holds_settings_rules_and_all_figures(held, capsys):
    assert run(["study", "report", "--config", str(held / "study.toml"), "--json", "-o", str(held / "out")]) == 0
    printed = capsys.readouterr().out
    report = json.loads(printed)
    assert report == json.loads((held / "out" / "report.json").read_text())
    assert report["subjects"] == {"all": 5, "left_out": {"failed attention checks": 1, "not finished": 1}}
    assert report["exposure_s"] == {"setting": 3.0, "median": 3.01, "farthest": 3.01}
    assert report["settings"]["seed"] == 0
    assert "failed more than 0 of its 2 attention checks (guessing passes with a probability of 25.0%)" in str(report)
    assert [row["method"] for row in report["by_method"]] == ["blurred", "noisy"]


class Reader(HTMLParser):
    """Collects the text of a page."""

    def __init__(self):
        super().__init__()
        self.text = []

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.slow
def test_the_page_and_the_plots_are_well_formed_and_load_nothing(held):
    assert run(["study", "report", "--config", str(held / "study.toml")]) == 0
    plots = sorted((held / "report").glob("*.svg"))
    assert [plot.stem for plot in plots] == ["images-camera", "methods-camera", "subjects-camera"]
    for plot in plots:
        assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    page = (held / "report" / "report.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert "Which image would you guess is from a camera?" in "".join(reader.text)
    assert "src=" not in page
    assert "href=" not in page


@pytest.mark.slow
def test_the_report_is_the_same_each_time(held):
    for name in "ab":
        assert run(["study", "report", "--config", str(held / "study.toml"), "-o", str(held / name)]) == 0
    for file in (held / "a").iterdir():
        assert file.read_bytes() == (held / "b" / file.name).read_bytes()


def test_a_share_is_drawn_at_its_place_on_the_axis():
    svg = ElementTree.fromstring(plot_shares("A <title>", [Bar("one & two", 0.25, 0.0, 1.0, "")]))
    space = {"s": "http://www.w3.org/2000/svg"}
    ticks = [float(line.get("x1")) for line in svg.findall("s:line", space)][:5]
    circle = svg.find("s:circle", space)
    assert float(circle.get("cx")) == pytest.approx(ticks[1], abs=0.1)
    interval = svg.findall("s:line", space)[-1]
    assert (float(interval.get("x1")), float(interval.get("x2"))) == pytest.approx((ticks[0], ticks[4]), abs=0.1)
    assert svg.find("s:title", space).text == "A <title>"


@pytest.mark.slow
def test_a_study_that_was_not_held_is_one_line_and_code_2(tmp_path, capsys):
    write_pictures(tmp_path)
    assert run(["study", "report", "--config", str(write_study(tmp_path))]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "there is no such file; run the study first" in error
    assert run(["study", "serve", "--config", str(tmp_path / "nothing.toml")]) == 2
    assert "nothing.toml: cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_a_report_by_other_rules_than_the_answers_were_given_under_is_refused(held, capsys):
    path = held / "study.toml"
    path.write_text(path.read_text().replace('design = "mixed"', 'design = "mixed"\nexposure = 2.0'))
    assert run(["study", "report", "--config", str(path)]) == 2
    assert "contains answers given under other settings (exposure); undo the change" in capsys.readouterr().err


def test_study_alone_shows_its_two_verbs(capsys):
    assert run(["study"]) == 0
    shown = capsys.readouterr().out
    assert "serve" in shown
    assert "report" in shown


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_a_text_is_no_formula_in_a_spreadsheet(name):
    from sr3.study.report import _csv

    assert _csv([{"image": name, "share": -0.5}]).splitlines()[1].startswith(("'", "\"'"))
    assert _csv([{"image": "a=1", "share": -0.5}]).splitlines()[1] == "a=1,-0.5"
