"""The file of answers: one answer a trial, in order, whoever asks how often."""

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from sr3.errors import StudyError
from sr3.study.store import Answer, open_store, read_records
from sr3.study.trials import Condition, Trial
from studies import nonce

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
    return store.enrol(ONE, lambda *_: TRIALS, nonce=nonce())


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
    assert not store.view(mine, own[1], nonce=nonce())
    assert not store.answer("nobody", own[0], FIRST)
    assert store.answer(mine, own[0], FIRST)
    assert not store.answer(other, own[0], FIRST)
    assert not store.view(mine, own[0], nonce=nonce())


def test_viewings_are_counted(store, path):
    subject = enrol(store)
    for _ in range(2):
        assert store.view(subject, store.place(subject).token, nonce=nonce())
    assert [record.views for record in read_records(path)] == [2, 0, 0]


def test_a_viewing_that_is_told_again_is_one_viewing(store, path):
    mine, other = enrol(store), enrol(store)
    for subject in (mine, mine, other):
        assert store.view(subject, store.place(subject).token, nonce="the same, again and again")
    assert [record.views for record in read_records(path) if record.place == 0] == [1, 1]


def test_a_consent_that_is_told_again_is_one_subject_until_it_withdraws(store, path):
    def enrol_again():
        return store.enrol(ONE, lambda *_: TRIALS, nonce="the same, again and again")

    subject = enrol_again()
    assert enrol_again() == subject
    assert {record.subject for record in read_records(path)} == {1}
    store.view(subject, store.place(subject).token, nonce=nonce())
    store.withdraw(subject)
    assert store.place(subject) is None
    assert store.place(enrol_again()) is not None


def test_a_file_of_the_first_version_goes_on(store, path):
    token = enrol(store)
    store.close()
    with sqlite3.connect(path) as database:
        for statement in ("DROP TABLE showings", "DROP INDEX subjects_by_nonce", "ALTER TABLE subjects DROP nonce"):
            database.execute(statement)
        database.execute("PRAGMA user_version = 1")
    database.close()
    assert len(read_records(path)) == 3
    opened = open_store(path, SETTINGS)
    assert opened.view(token, opened.place(token).token, nonce=nonce())
    assert opened.place(enrol(opened)) is not None
    opened.close()


def test_who_withdraws_leaves_no_answers_and_is_not_known_any_more(store, path):
    subject = enrol(store)
    store.answer(subject, store.place(subject).token, FIRST)
    store.withdraw(subject)
    assert store.place(subject) is None
    for file in path.parent.iterdir():
        assert b"owl" not in file.read_bytes()
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
        list(pool.map(lambda _: store.enrol(choices, lambda *_: TRIALS, nonce=nonce()), range(12)))
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT question, method FROM subjects").fetchall()
        assert Counter(rows) == {tuple(choice): 4 for choice in choices}
        database.execute("UPDATE subjects SET consented = datetime('now', '-2 hours') WHERE method = 'b'")
    for _ in range(4):
        store.enrol(choices, lambda *_: TRIALS, nonce=nonce())
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
    with pytest.raises(StudyError, match=r"contains answers given under other settings \(exposure\); undo"):
        open_store(path, SETTINGS)


def test_a_file_of_something_else_is_refused_and_stays(path):
    path.write_bytes(b"my letters" * 1000)
    with pytest.raises(StudyError, match="cannot be used as a database of answers"):
        open_store(path, SETTINGS)
    assert path.read_bytes() == b"my letters" * 1000
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE letters (text)")
    database.close()
    with pytest.raises(StudyError, match="is not a database"):
        open_store(path, SETTINGS)


def test_a_report_of_nothing_says_so(path):
    with pytest.raises(StudyError, match="there is no such file"):
        read_records(path)
    assert not path.exists()
