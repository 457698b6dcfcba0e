"""Whether an image can be held."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pictures import write_random_model
from sr3.errors import ImageError
from sr3.runtime import free_memory
from sr3.sampling.plan import plan_for
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling import memory

pytestmark = pytest.mark.slow


def test_a_side_that_is_too_long_is_refused():
    with pytest.raises(ImageError, match=r"wide\.png: 8193x1 would become 32772x4"):
        memory.check_fits(Path("wide.png"), 8193, 1, 4)
    memory.check_fits(Path("wide.png"), 8192, 1, 4)


def test_a_result_larger_than_the_free_memory_is_refused_with_both_numbers(monkeypatch):
    monkeypatch.setattr(free_memory, "free_memory", lambda: 2.0**30)
    memory.check_fits(Path("a.png"), 600, 600, 4)
    with pytest.raises(ImageError, match=r"a\.png: a result of 4000x4000 needs about 1\.6 GiB .* 1\.0 GiB is free"):
        memory.check_fits(Path("a.png"), 1000, 1000, 4)


def test_a_container_limits_the_memory(tmp_path, monkeypatch):
    assert free_memory._container_free(tmp_path) == math.inf
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory._container_free(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 600\nactive_file 100\n")
    assert free_memory._container_free(tmp_path) == 4600
    monkeypatch.setattr(free_memory, "_container_free", lambda: 7.0)
    assert free_memory.free_memory() == 7.0


def test_memory_that_torch_keeps_of_a_gpu_is_free(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (1000, 9000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda _: 5000)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda _: 3000)
    assert free_memory.device_free(torch.device("cuda")) == 3000


def test_where_the_system_does_not_say_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(free_memory, "_system_free", lambda: math.inf)
    monkeypatch.setattr(free_memory, "_container_free", lambda: math.inf)
    memory.check_fits(Path("a.png"), 8000, 8000, 4)


@pytest.fixture
def upscaler(tmp_path):
    return open_upscaler(str(write_random_model(tmp_path / "m.safetensors")), device="cpu", dtype="float32")


def test_windows_are_as_large_as_the_memory_that_is_left_allows(upscaler, monkeypatch):
    canvas, window = 1000 * 1000 * memory.BYTES_PER_PIXEL, memory.window_bytes(upscaler)
    for tile, less in zip(memory.TILES, memory.TILES[1:], strict=False):
        needed = canvas + 2 * window * tile**2
        monkeypatch.setattr(free_memory, "free_memory", lambda needed=needed: needed)
        assert memory.choose_tile(upscaler, 1000, 1000) == tile
        monkeypatch.setattr(free_memory, "free_memory", lambda needed=needed: needed - 1)
        assert memory.choose_tile(upscaler, 1000, 1000) == less
    monkeypatch.setattr(free_memory, "free_memory", lambda: 0.0)
    assert memory.choose_tile(upscaler, 1000, 1000) == memory.TILES[-1]


def test_windows_of_large_results_are_smaller(upscaler, monkeypatch):
    monkeypatch.setattr(free_memory, "free_memory", lambda: math.inf)
    assert memory.choose_tile(upscaler, 2048, 2048) == 1024
    assert memory.choose_tile(upscaler, 2048, 2049) == 512


def test_windows_are_halved_until_they_could_not_overlap(upscaler):
    assert memory.smaller_tile(replace(upscaler, tile=512), 2000, 900) == 256
    assert memory.smaller_tile(replace(upscaler, tile=512), 200, 150) == 100
    assert memory.smaller_tile(replace(upscaler, tile=128), 2000, 900) == 0


def test_a_larger_picture_and_more_calls_are_expected_to_take_longer(upscaler, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(memory.time, "monotonic", lambda: float(next(clock)))
    sampling = plan_for(upscaler.info, steps=4, sampler="ddim")
    small = memory.predict_seconds(upscaler, 128, 128, sampling)
    assert small == 4  # four calls on as much as is tried, each a tick of this clock
    assert memory.predict_seconds(upscaler, 256, 256, sampling) == 4 * small
    heun = plan_for(upscaler.info, steps=4, sampler="heun")
    assert memory.predict_seconds(upscaler, 128, 128, heun) == 7  # two calls per step, and one for the last
    assert memory.predict_seconds(replace(upscaler, tile=192), 256, 256, sampling) > 8 * small
