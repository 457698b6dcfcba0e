"""Whether a picture can be held."""

import math
from pathlib import Path

import pytest

from sr3.errors import ImageError
from sr3.inference import memory


def test_a_side_that_is_too_long_is_refused():
    with pytest.raises(ImageError, match=r"wide\.png: 8193x1 would become 32772x4"):
        memory.check_fits(Path("wide.png"), 8193, 1, 4)
    memory.check_fits(Path("wide.png"), 8192, 1, 4)


def test_a_result_larger_than_the_free_memory_is_refused_with_both_numbers(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 2.0**30)
    memory.check_fits(Path("a.png"), 640, 640, 4)
    with pytest.raises(ImageError, match=r"a\.png: a result of 4000x4000 needs about 2\.0 GiB .* 1\.0 GiB is free"):
        memory.check_fits(Path("a.png"), 1000, 1000, 4)


def test_a_container_limits_the_memory(tmp_path, monkeypatch):
    assert memory._container_free(tmp_path) == math.inf
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container_free(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory._container_free(tmp_path) == 4000
    monkeypatch.setattr(memory, "_container_free", lambda: 7.0)
    assert memory.free_memory() == 7.0


def test_where_the_system_does_not_say_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "_system_free", lambda: math.inf)
    monkeypatch.setattr(memory, "_container_free", lambda: math.inf)
    memory.check_fits(Path("a.png"), 8000, 8000, 4)
