"""Advice for JPEG files: the quality that is read from their tables, and when something is said."""

import io

import numpy as np
import pytest
from PIL import Image

from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.upscaling.jpeg_quality import estimated_quality
from sr3.zoo import DEFAULT_MODEL, RESTORING_MODEL


@pytest.mark.parametrize("quality", [25, 30, 50, 75, 90, 95, 100])
def test_the_quality_that_pillow_was_given_is_found(quality):
    data = io.BytesIO()
    Image.fromarray(smooth(16, 16)).save(data, "JPEG", quality=quality)
    assert estimated_quality(Image.open(data).quantization[0]) == pytest.approx(quality, abs=1.5)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, quality in {"a-good": 96, "b-poor": 70, "c-poor": 60}.items():
        Image.fromarray(smooth(12, 12)).save(folder / f"{name}.jpg", quality=quality)
    Image.fromarray(smooth(12, 12)).save(folder / "d.png")
    return folder


def said(folder, out, model, capsys):
    assert run(["upscale", str(folder), "-o", str(out), "--model", str(model)]) == 0
    return capsys.readouterr().err


def named(path, name):
    model = write_random_model(path / f"{name}.safetensors", settings=["sampling.steps=2"])
    assert model.stem == name
    return model


@pytest.mark.slow
def test_the_default_says_once_that_other_weights_are_meant_for_a_poor_file(photos, tmp_path, capsys):
    errors = said(photos, tmp_path / "out", named(tmp_path, DEFAULT_MODEL), capsys)
    assert errors.count(f"--model {RESTORING_MODEL}") == 1
    assert "b-poor.jpg: is a JPEG file of quality 70 or so" in errors
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"a-good.jpg", "b-poor.jpg", "c-poor.jpg", "d.png"}, "nothing is switched or left out"


@pytest.mark.slow
def test_nothing_is_said_of_good_files_or_to_who_has_chosen(photos, tmp_path, capsys):
    assert RESTORING_MODEL not in said(photos, tmp_path / "out", named(tmp_path, "mine"), capsys)
    for name in ("b-poor.jpg", "c-poor.jpg"):
        (photos / name).unlink()
    assert RESTORING_MODEL not in said(photos, tmp_path / "good", named(tmp_path, DEFAULT_MODEL), capsys)


def test_a_table_of_ones_is_the_best_quality():
    assert estimated_quality(np.ones(64, int).tolist()) == 100
