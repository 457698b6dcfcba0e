"""Processes that share the work."""

import pytest

from sr3.errors import ConfigError
from sr3.runtime.shares import Share, open_share, wait_for_all


def test_shares_cover_all_jobs_once():
    jobs = list(range(11))
    for processes in (1, 2, 3, 20):
        parts = [Share(rank, processes).of(jobs) for rank in range(processes)]
        assert sorted(job for part in parts for job in part) == jobs
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_launcher_says_which_process_this_is(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert open_share() == Share(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert open_share() == Share(2, 5)
    monkeypatch.setenv("RANK", "5")
    with pytest.raises(ConfigError, match="no process has this number"):
        open_share()


def test_alone_or_without_a_meeting_place_nobody_is_waited_for(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert wait_for_all(Share(), 2, 7) == (2, 7)
    assert wait_for_all(Share(1, 3), 2, 7) == (2, 7)
