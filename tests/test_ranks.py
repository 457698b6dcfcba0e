import pytest

from sr3.errors import ConfigError
from sr3.ranks import Ranks, process_prefix, read_ranks


def test_without_a_launcher_there_is_one_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert read_ranks() == Ranks(0, 1, None, 1)
    assert process_prefix() == ""


def test_a_launcher_says_which_process_this_is(monkeypatch):
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert read_ranks() == Ranks(5, 8, 1, 4)
    assert process_prefix() == "process 5: "


@pytest.mark.parametrize(("rank", "count"), [("2", "2"), ("-1", "2"), ("a", "2"), ("0", "b"), ("0", "0")])
def test_numbers_of_no_process_are_refused(monkeypatch, rank, count):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(ConfigError, match="no process has this number; start all with one launcher"):
        read_ranks()
