import math
import os

import pytest
import torch

from sr3.runtime import threads
from sr3.runtime.threads import choose_threads, given_cores


@pytest.fixture(autouse=True)
def as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "nonsense"}, math.inf),
        ({}, math.inf),
    ],
)
def test_a_containers_quota_is_read_in_both_versions(tmp_path, files, cores):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert threads._by_quota(tmp_path) == cores


@pytest.mark.parametrize(("affinity", "quota", "cores"), [(8, 1.5, 2), (2, math.inf, 2), (4, 0.2, 1)])
def test_the_smaller_of_affinity_and_quota_counts_and_one_is_the_least(monkeypatch, affinity, quota, cores):
    monkeypatch.setattr(threads, "_by_affinity", lambda: affinity)
    monkeypatch.setattr(threads, "_by_quota", lambda _folder: quota)
    assert given_cores() == cores


def test_the_affinity_of_this_process_is_asked():
    if hasattr(os, "sched_getaffinity"):
        assert threads._by_affinity() == len(os.sched_getaffinity(0))


def test_what_is_asked_for_is_taken_and_else_the_environment_and_else_the_cores_there_are(monkeypatch):
    monkeypatch.setattr(threads, "given_cores", lambda: 1)
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert choose_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert choose_threads() == 1
    assert choose_threads(3) == 3
