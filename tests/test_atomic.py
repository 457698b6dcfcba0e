"""A file appears whole or not at all, and what a killed process leaves is told from what is being written."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from sr3.atomic import remove_leftovers, whole_file


def test_the_file_is_replaced_when_all_went_well(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_old_file_stays_when_something_went_wrong(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with whole_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


WRITES = """
import sys
from pathlib import Path
from sr3.atomic import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
"""


def writer(path):
    """Begin to write in another process, which ends when its input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="leftovers are known by their age there")
def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    dead, living = writer(tmp_path / "dead.png"), writer(tmp_path / "living.png")
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    (tmp_path / ".sr3-notes.txt").write_text("the user's own")
    assert len(list(tmp_path.glob(".sr3-*.png"))) == 2
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.glob(".sr3-*.png"))) == 1
    living.communicate()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".sr3-notes.txt", "living.png"]
    assert (tmp_path / "living.png").read_text() == "half"


@pytest.mark.skipif(sys.platform == "win32", reason="leftovers are known by their age there")
def test_a_file_taken_for_a_leftover_before_it_is_held_is_begun_again(tmp_path, monkeypatch):
    import fcntl

    lock, removed = fcntl.flock, []

    def late(file, operation):
        if not removed and operation == fcntl.LOCK_EX:  # a cleaner comes between making and locking
            removed.append(file.name)
            remove_leftovers(tmp_path)
            assert not os.path.exists(file.name)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert len(removed) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_system_without_locks_is_written_to_and_its_leftovers_stay(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    leftover = tmp_path / f".sr3-{16 * '0'}.png"
    leftover.touch()
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [leftover.name, "a.txt"]


def test_an_error_of_the_writer_reaches_the_caller_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="the writer's"), whole_file(tmp_path / "a.txt"):
        raise FileNotFoundError("the writer's")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path):
    target = tmp_path / "report.html"
    with pytest.raises(OSError, match="No space left") as refused, whole_file(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert refused.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []
