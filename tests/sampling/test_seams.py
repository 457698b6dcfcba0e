"""Tiles leave no seam, not even of one level of 255, and one would be found."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pictures import smooth, write_random_model
from seams import SEAM, standing_out, with_seam
from sr3.sampling.plan import sampling_for
from sr3.sampling.tiling import windows
from sr3.sampling.upscaler import OVERLAP, open_upscaler

SIDE, TILE = 76, 160
LEVEL = 1 / 127.5  # one of 255, in [-1, 1]


def picture(kind):
    """Gentle gradients, or noise; what tiles change of a steep image hides a seam of one level."""
    noise = np.random.default_rng(0).integers(30, 226, (SIDE, SIDE + 4, 3))
    pixels = 0.15 * (smooth(SIDE, SIDE + 4) / 127.5 - 1) if kind == "smooth" else noise / 127.5 - 1
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    """Random weights: such a network sees the borders of its windows as much as any."""
    torch.manual_seed(0)
    model = write_random_model(tmp_path_factory.mktemp("seams") / "model.safetensors")
    return open_upscaler(str(model), device="cpu", dtype="float32")


def change(upscaler, low_res):
    """What tiles change of a result."""
    sampling = sampling_for(upscaler.info, steps=2)
    whole, cut = (replace(upscaler, tile=tile).upscale(low_res, sampling=sampling, seeds=[0]) for tile in (1024, TILE))
    return cut - whole


def borders(low_res, upscaler, dim):
    """List the lines at which windows begin or end, begin to count, hand over, or stop to count."""
    height, width = (4 * side for side in low_res.shape[-2:])
    cover = windows(height, width, tile=TILE, overlap=OVERLAP, multiple=upscaler.denoiser.network.size_multiple)
    spans = {(window.top, window.height) if dim == -2 else (window.left, window.width) for window in cover}
    side = height if dim == -2 else width
    lines = {
        line
        for start, length in spans
        for offset in (0, OVERLAP // 4, OVERLAP // 2, 3 * OVERLAP // 4)
        for line in (start + offset, start + length - offset)
        if (line < start + OVERLAP and start > 0) or (line > start + length - OVERLAP and start + length < side)
    }
    assert len(spans) >= 3
    return sorted(lines)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["smooth", "texture"])
def test_no_border_of_a_window_stands_out_and_one_lifted_by_a_level_does(upscaler, kind):
    low_res = picture(kind)
    changed = change(upscaler, low_res)
    assert float(changed.abs().mean()) < LEVEL
    for dim in (-1, -2):
        lines = borders(low_res, upscaler, dim)
        assert len(lines) >= 10
        assert max(standing_out(changed, lines, dim=dim).values()) < SEAM
        for line in lines:
            for level in (LEVEL, -LEVEL):
                lifted = with_seam(changed, line, level, dim=dim)
                assert standing_out(lifted, lines, dim=dim)[line] > SEAM


@pytest.mark.slow
def test_windows_that_do_not_fade_into_each_other_are_found_out(upscaler, monkeypatch):
    monkeypatch.setattr("sr3.sampling.tiling.window_weight", lambda window, *_, **__: torch.ones(*window[2:]))
    low_res = picture("smooth")
    found = standing_out(change(upscaler, low_res), borders(low_res, upscaler, -1), dim=-1)
    assert max(found.values()) > 1.5 * SEAM
