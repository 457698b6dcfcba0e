"""The file of answers: one answer a trial, in order, whoever asks how often."""

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from sr3.errors import StudyError
from sr3.study.store import Answer, open_store, read_records
from sr3.study.trials import Condition, Trial

FIRST = Answer("first", 3.0, 0.0167, 0.8, "row", 256.0, 1.0)
SECOND = FIRST._replace(choice="second")
TRIALS = [Trial("owl", "m", True), Trial("cat", None, False), Trial("dog", "m", False)]
ONE = [Condition("camera", "m")]
SETTINGS = {"exposure": 3.0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.sqlite"


@pytest.fixture
def store(path):
    opened = open_store(path, SETTINGS)
    yield opened
    opened.close()


def enrol(store) -> str:
    return store.enrol(ONE, lambda *_: TRIALS)


def test_a_subject_goes_through_its_trials_in_order(store, path):
    subject = enrol(store)
    seen = []
    while (place := store.place(subject)).trial is not None:
        assert (place.done, place.total) == (len(seen), 3)
        seen.append(place.trial)
        assert store.answer(subject, place.token, FIRST)
    assert seen == TRIALS
    assert [record.answer for record in read_records(path)] == [FIRST] * 3


def test_a_second_answer_to_a_trial_changes_nothing(store, path):
    subject = enrol(store)
    trial = store.place(subject).token
    assert store.answer(subject, trial, FIRST)
    assert store.answer(subject, trial, SECOND)
    assert store.place(subject).done == 1
    assert read_records(path)[0].answer == FIRST


def test_trials_of_others_and_trials_to_come_are_refused(store, path):
    mine, other = enrol(store), enrol(store)
    with sqlite3.connect(path) as database:
        own = [row[0] for row in database.execute("SELECT token FROM trials WHERE subject = 1 ORDER BY place")]
    database.close()
    assert not store.answer(other, own[0], FIRST)
    assert not store.answer(mine, own[1], FIRST)
    assert not store.view(mine, own[1])
    assert not store.answer("nobody", own[0], FIRST)
    assert store.answer(mine, own[0], FIRST)
    assert not store.answer(other, own[0], FIRST)
    assert not store.view(mine, own[0])


def test_viewings_are_counted(store, path):
    subject = enrol(store)
    for _ in range(2):
        assert store.view(subject, store.place(subject).token)
    assert [record.views for record in read_records(path)] == [2, 0, 0]


def test_who_withdraws_leaves_no_answers_and_is_not_known_any_more(store, path):
    subject = enrol(store)
    store.answer(subject, store.place(subject).token, FIRST)
    store.withdraw(subject)
    assert store.place(subject) is None
    assert read_records(path) == []
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT (SELECT COUNT(*) FROM answers), (SELECT COUNT(*) FROM trials)").fetchone() == (
            0,
            0,
        )
    database.close()


def test_subjects_are_shared_out_evenly_and_those_who_gave_up_are_replaced(store, path):
    choices = [Condition("better", "a"), Condition("camera", "a"), Condition("camera", "b")]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.enrol(choices, lambda *_: TRIALS), range(12)))
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT question, method FROM subjects").fetchall()
        assert Counter(rows) == {tuple(choice): 4 for choice in choices}
        database.execute("UPDATE subjects SET consented = datetime('now', '-2 hours') WHERE method = 'b'")
    for _ in range(4):
        store.enrol(choices, lambda *_: TRIALS)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT COUNT(*) FROM subjects WHERE method = 'b'").fetchone() == (8,)
    database.close()


def test_identifiers_are_random_and_in_no_order(store, path):
    for _ in range(20):
        enrol(store)
    with sqlite3.connect(path) as database:
        tokens = [row[0] for row in database.execute("SELECT token FROM trials ORDER BY subject, place")]
    database.close()
    assert len(set(tokens)) == 60
    assert {len(token) for token in tokens} == {24}
    assert sum(a < b for a, b in pairwise(tokens)) not in (0, 59)


def test_settings_may_change_before_the_first_subject_and_not_after(path):
    open_store(path, SETTINGS).close()
    store = open_store(path, {"exposure": 2.0})
    enrol(store)
    store.close()
    open_store(path, {"exposure": 2.0}).close()
    with pytest.raises(StudyError, match=r"holds answers given under other settings \(exposure\); undo"):
        open_store(path, SETTINGS)


def test_a_file_of_something_else_is_refused_and_stays(path):
    path.write_bytes(b"my letters" * 1000)
    with pytest.raises(StudyError, match="cannot be used as a file of answers"):
        open_store(path, SETTINGS)
    assert path.read_bytes() == b"my letters" * 1000
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE letters (text)")
    database.close()
    with pytest.raises(StudyError, match="is no file of answers"):
        open_store(path, SETTINGS)


def test_a_report_of_nothing_says_so(path):
    with pytest.raises(StudyError, match="there is no file of answers"):
        read_records(path)
    assert not path.exists()
