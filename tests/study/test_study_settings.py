"""Settings of a study: the paper's by default, and one clear line for what is wrong."""

from pathlib import Path

import pytest

from sr3.errors import ConfigError
from sr3.study.settings import QUESTIONS, read_study
from studies import write_study


def test_the_defaults_are_the_papers(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('pictures = {truth = "t", inputs = "i"}\nmethods = {a = "a"}\npage = {contact = "c"}\n')
    config = read_study(path)
    assert (config.exposure, config.images_per_subject, config.design) == (3.0, 50, "one-method")
    assert [QUESTIONS[question] for question in config.questions] == [
        "Which of the two images is a better high quality version of the low resolution image in the middle?",
        "Which image would you guess is from a camera?",
    ]


def test_relative_paths_begin_at_the_file(tmp_path):
    config = read_study(write_study(tmp_path, settings='database = "kept/answers.db"'))
    assert config.database == tmp_path / "kept" / "answers.db"
    assert config.pictures.truth == tmp_path / "truth"
    assert config.methods["noisy"] == tmp_path / "noisy"


@pytest.mark.parametrize(
    ("settings", "attention", "complaint"),
    [
        ("exposure = 0", "", "exposure = 0: "),
        ('exposure = "3"', "", 'exposure = "3": '),
        ("exposures = 3", "", "there is no setting exposures"),
        ('questions = ["prettier"]', "", "questions.0"),
        ('questions = ["camera", "camera"]', "", "twice"),
        ("questions = []", "", "questions"),
        ("when = 2026-01-01", "", "there is no setting when"),
        ("", "checks = 2\nfailures_allowed = 2", "no subject can fail"),
        ("exposure = ", "", "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_file(settings, attention, complaint, tmp_path):
    path = write_study(tmp_path, settings=settings, attention=attention)
    with pytest.raises(ConfigError) as raised:
        read_study(path)
    assert complaint in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_the_question_that_shows_inputs_needs_their_folder(tmp_path):
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace('inputs = "inputs"', ""))
    with pytest.raises(ConfigError, match=r"give its folder in pictures\.inputs"):
        read_study(path)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        read_study(Path("nowhere.toml"))


def test_the_example_of_the_docs_is_read_with_the_defaults_it_names(tmp_path):
    docs = (Path(__file__).parents[2] / "docs" / "how-to" / "run-study.md").read_text(encoding="utf-8")
    path = tmp_path / "study.toml"
    path.write_text(docs.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    config = read_study(path)
    assert list(config.methods) == ["sr3", "regression"]
    for setting, default in (("zoom", 1), ("exposure_tolerance", 0.1), ("checks", 5), ("failures_allowed", 0)):
        (row,) = [line for line in docs.splitlines() if line.startswith("| `") and f"{setting}` |" in line]
        assert row.split("|")[2].strip() == str(default)
        places = (config, config.pictures, config.attention)
        assert next(getattr(place, setting) for place in places if hasattr(place, setting)) == default
