"""Fairness between sessions, the log of events, names of uploads, and the guard's decisions."""

import asyncio
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr3.web.event_log import EventLog
from sr3.web.fair_queue import FairQueue
from sr3.web.sessions import Sessions
from sr3.web.upload import clean_name


def test_sessions_are_served_in_turn():
    queue = FairQueue[str]()
    for item in ("a1", "a2", "a3"):
        queue.add("a", item)
    queue.add("b", "b1")
    queue.add("c", "c1")
    queue.add("b", "b2")
    assert queue.in_order() == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert [queue.take() for _ in range(7)] == ["a1", "b1", "c1", "a2", "b2", "a3", None]


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_the_announced_order_is_the_order_of_taking(actions):
    queue = FairQueue[int]()
    for number, (session, takes) in enumerate(actions):
        queue.add(session, number)
        if takes:
            expected = queue.in_order()
            assert queue.take() == expected[0]
            assert queue.in_order() == expected[1:]
    assert len(queue) == len(queue.in_order())


def test_an_item_is_removed_once():
    queue = FairQueue[str]()
    queue.add("a", "x")
    assert queue.remove("a", "x")
    assert not queue.remove("a", "x")
    assert queue.take() is None


def read(log: EventLog, after: int = 0) -> list[str]:
    async def all_of() -> list[str]:
        return [part.decode() async for part in log.read(after)]

    return asyncio.run(all_of())


def test_a_late_reader_gets_the_newest_progress_and_every_result():
    log = EventLog()
    for step in range(5):
        log.add("progress", {"step": step})
    log.add("result", {"name": "a"})
    log.add("result", {"name": "b"})
    log.add("end", {})
    log.add("state", {"ignored": True})
    parts = read(log)
    assert [part.splitlines()[1] for part in parts] == ["event: progress", *["event: result"] * 2, "event: end"]
    assert json.loads(parts[0].splitlines()[2].removeprefix("data: ")) == {"step": 4}
    last = int(parts[1].splitlines()[0].removeprefix("id: "))
    assert read(log, last) == parts[2:]


def test_a_reader_is_woken_by_another_thread_and_let_go_at_the_close():
    log = EventLog()
    thread = threading.Thread(target=lambda: (time.sleep(0.05), log.add("state", {"a": 1}), log.close()))
    thread.start()
    assert [part.splitlines()[1] for part in read(log)] == ["event: state"]
    thread.join()


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\a b.JPG", "a b.JPG"),
        ("..", "image"),
        ("", "image"),
        (".png", "image.png"),
        ("a\x00\n<b>.png", "a___b_.png"),
        ("Bär 夏.tif", "Bär 夏.tif"),
        ("x" * 500 + ".png", "x" * 97 + ".png"),
    ],
)
def test_a_name_is_made_a_plain_file_name(given_name, expected):
    assert clean_name(given_name) == expected


@pytest.mark.slow
@given(st.text(max_size=300))
def test_no_name_leaves_the_folder(tmp_path_factory, text):
    name = clean_name(text)
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert len(name.encode()) < 200
    folder = tmp_path_factory.getbasetemp()
    assert (folder / name).parent == folder


@pytest.mark.slow
def test_a_session_goes_after_its_absence_but_not_while_a_stream_is_open():
    sessions = Sessions(absence=0.05)
    session = Sessions.named("tab-1", "")
    sessions.touch(session)
    assert sessions.gone() == (set(), set())
    with sessions.streaming(session):
        time.sleep(0.1)
        assert sessions.gone() == (set(), set())
    time.sleep(0.1)
    assert sessions.gone() == ({session}, set())
    with sessions.streaming(session, presence=True):
        pass
    time.sleep(0.1)
    assert sessions.gone() == ({session}, {session})
    assert sessions.gone() == (set(), set())


def test_a_client_without_a_name_never_goes():
    sessions = Sessions(absence=0.0)
    with sessions.streaming(Sessions.named("", "127.0.0.1"), presence=True):
        pass
    time.sleep(0.01)
    assert sessions.gone() == (set(), set())
