"""Metrics of opensr-test: what it is given, and what it does to random numbers is undone."""

import random
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import smooth
from sr3.cli.app import run
from sr3.errors import CheckpointError
from sr3.metrics import opensr
from sr3.metrics.opensr import OPENSR_KEYS, load_opensr
from sr3.metrics.registry import find_metric

FOUND = dict(zip(OPENSR_KEYS, (0.01, 2.0, float("nan"), 0.05, 0.2, 0.3, 0.5), strict=True))


@pytest.fixture
def library(monkeypatch):
    """The interface of opensr-test 1.3.3, which seeds all random numbers with 42 in each measurement."""
    given = []

    class Metrics:
        def compute(self, *, lr, sr, hr):
            random.seed(42)
            np.random.seed(42)  # noqa: NPY002
            torch.manual_seed(42)
            given.append((lr, sr, hr))
            return FOUND

    monkeypatch.setitem(sys.modules, "opensr_test", types.SimpleNamespace(Metrics=Metrics))
    monkeypatch.setattr(opensr, "version", {"opensr-test": "1.3.3"}.__getitem__)
    return given


def test_it_gets_images_from_0_to_1_and_its_figures_have_our_names(library):
    metrics = load_opensr()
    image, truth, low = torch.full((1, 4, 64, 64), 1.5), torch.full((1, 4, 64, 64), -1.0), torch.zeros(1, 4, 16, 16)
    figures = metrics(image, truth, low)
    assert metrics.name == "opensr-test 1.3.3"
    assert [tuple(part.shape) for part in library[0]] == [(4, 16, 16), (4, 64, 64), (4, 64, 64)]
    assert [part.unique().tolist() for part in library[0]] == [[0.5], [1.0], [0.0]]
    assert figures["opensr_hallucination"] == 0.2
    assert np.isnan(figures.pop("opensr_spatial"))
    assert {find_metric(key).title for key in figures} == {
        f"{name} ({{network}})"
        for name in ("reflectance", "spectral", "synthesis", "hallucination", "omission", "improvement")
    }


@pytest.mark.usefixtures("library")
def test_random_numbers_continue_as_if_nothing_had_been_measured():
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    image = torch.zeros(1, 3, 64, 64)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = draws(), draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    first = draws()
    load_opensr()(image, image, torch.zeros(1, 3, 16, 16))
    assert (first, draws()) == expected


def test_without_it_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensr_test", None)
    with pytest.raises(CheckpointError, match="pip install opensr-test, with the torchvision of your torch"):
        load_opensr()


def test_what_it_cannot_measure_is_one_line(library, monkeypatch):
    metrics = load_opensr()
    with pytest.raises(CheckpointError, match="images of 63x64 are too small"):
        metrics(torch.zeros(1, 3, 64, 63), torch.zeros(1, 3, 64, 63), torch.zeros(1, 3, 16, 16))
    assert not library
    monkeypatch.setattr(sys.modules["opensr_test"].Metrics, "compute", lambda _, **images: {"lr": images["lr"]})
    with pytest.raises(CheckpointError, match=r"opensr-test 1\.3\.3: cannot measure these images: 'reflectance'"):
        metrics(*(torch.zeros(1, 3, 64, 64) for _ in range(2)), torch.zeros(1, 3, 16, 16))


@pytest.mark.slow
def test_the_command_has_a_column_for_each_and_leaves_out_what_failed(tmp_path, library, capsys):
    (tmp_path / "truth").mkdir()
    for k in range(2):
        Image.fromarray(smooth(64, 64) // (k + 1)).save(tmp_path / "truth" / f"{k}.png")
    evaluate = ["evaluate", "--truth", str(tmp_path / "truth"), "--filter", "bicubic", "--opensr", "--json"]
    assert run([*evaluate, "--scale", "4"]) == 0
    report = capsys.readouterr().out
    assert len(library) == 2
    assert '"hallucination (opensr-test 1.3.3)"' in report
    sets = ["--unpaired", "--pred", str(tmp_path / "truth")]
    assert run(["evaluate", "--truth", str(tmp_path / "truth"), *sets, "--opensr"]) == 2
    assert "--opensr: does not go with --unpaired" in capsys.readouterr().err
