"""`sr3 evaluate --unpaired`: sets of images that belong together by nothing but what they show."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import nn

from pictures import smooth, write_tiff
from sr3.cli.app import run

pytestmark = pytest.mark.slow

MADE, TRUE = 9, 14


class Means(nn.Module):
    """Twelve numbers: means of quarters of an image."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Average."""
        return nn.functional.adaptive_avg_pool2d(image, 2).flatten(1)


def quarters(folder):
    """The same numbers by numpy, of the images of a folder in the order of their names."""
    rows = []
    for path in sorted(folder.iterdir()):
        pixels = np.asarray(Image.open(path)).astype(np.float64) / 255
        height, width = (side // 2 for side in pixels.shape[:2])
        blocks = pixels.reshape(2, height, 2, width, 3).mean(axis=(1, 3))
        rows.append(blocks.transpose(2, 0, 1).ravel())
    return np.stack(rows)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Truths, and two sets of other names, counts and sizes; two of one set differ in their suffix alone."""
    for name, count, side in (("truth", TRUE, 32), ("made", MADE, 32), ("other", 12, 24)):
        (tmp_path / name).mkdir()
        for k in range(count):
            end = "bmp" if k == 1 else "png"
            stem = "0" if k == 1 else str(k)
            picture = smooth(side, side, seed=100 * side + 10 * len(name) + k)
            Image.fromarray(picture).save(tmp_path / name / f"{name[0]}{stem}.{end}")
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Means()).save(tmp_path / "means.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(*arguments):
    return run(["evaluate", "--unpaired", "--truth", "truth", *map(str, arguments)])


def report_of(*arguments, out="out"):
    assert evaluate("--features", "means.pt", *arguments, "-o", out) == 0
    with open(f"{out}/report.json", encoding="utf-8") as file:
        return json.load(file)


def test_the_frechet_distance_is_that_of_its_formula_with_a_matrix_root(folder):
    made, true = quarters(folder / "made"), quarters(folder / "truth")
    covariances = [np.cov(part, rowvar=False) for part in (made, true)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(made.mean(0) - true.mean(0)).sum() + np.trace(sum(covariances) - 2 * root)
    found = report_of("--pred", "made")["methods"]["made"]["figures"]["distance"]
    assert found["value"] == pytest.approx(expected, rel=1e-3)
    assert found["low"] < found["value"] < found["high"]
    assert found["pictures"] == MADE


def test_the_kernel_distance_is_that_of_all_pairs(folder):
    made, true = quarters(folder / "made"), quarters(folder / "truth")

    def kernel(some, other):
        return (some @ other.T / some.shape[1] + 1) ** 3

    within = [
        (kernel(part, part).sum() - np.trace(kernel(part, part))) / len(part) / (len(part) - 1) for part in (made, true)
    ]
    expected = 1e3 * (sum(within) - 2 * kernel(made, true).mean())
    found = report_of("--pred", "made")["methods"]["made"]["figures"]["kernel"]
    assert found["value"] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_names_counts_and_sizes_are_free_and_only_figures_of_sets_are_taken(folder):
    report = report_of("--pred", "made", "--pred", "b=other")
    assert set(report["metrics"]) == {"distance", "kernel", "precision", "recall"}
    assert list(report["methods"]) == ["made", "b"]
    assert list(report["methods"]["made"]["pictures"]) == sorted(path.name for path in (folder / "made").iterdir())
    assert report["methods"]["made"]["figures"]["recall"]["pictures"] == TRUE
    assert report["inputs"]["pictures"] == TRUE + MADE + 12
    (difference,) = report["differences"]
    figures = [report["methods"][name]["figures"]["distance"]["value"] for name in ("made", "b")]
    assert difference["figures"]["distance"]["value"] == pytest.approx(figures[0] - figures[1])
    assert set(difference["figures"]) == {"distance", "kernel", "precision", "recall"}
    assert report["notes"] == [
        "made: has fewer features than feature dimensions (12), so distances are biased upwards, equally only for "
        "sets of the same count; give more images",
        "the sets have different counts (9, 12), which biases distances; compare sets of equal count",
    ]


def test_truths_themselves_have_no_distance_and_are_all_inside(folder):
    figures = report_of("--pred", f"same={folder / 'truth'}")["methods"]["same"]["figures"]
    assert figures["distance"]["value"] == pytest.approx(0, abs=1e-9)
    assert (figures["precision"]["value"], figures["recall"]["value"]) == (1, 1)


def test_the_inception_score_needs_a_classifier_and_no_classes(folder):
    assert evaluate("--pred", "made", "--classifier", "means.pt", "--classifier-range", "unit", "-o", "out") == 0
    report = json.loads((folder / "out" / "report.json").read_text())
    assert set(report["metrics"]) == {"inception"}
    assert set(report["methods"]) == {"truth", "made"}
    middle = [
        pixels[2:30, 2:30]
        for pixels in (np.asarray(Image.open(path)) / 255 for path in sorted((folder / "made").iterdir()))
    ]
    logits = np.stack([part.reshape(2, 14, 2, 14, 3).mean((1, 3)).transpose(2, 0, 1).ravel() for part in middle])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.exp((shares * np.log(shares / shares.mean(0))).sum(1).mean())
    assert report["methods"]["made"]["figures"]["inception"]["value"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("folder")
def test_patches_of_pictures_of_different_sizes_count_alike():
    report = report_of("--pred", "made", "--pred", "other", "--patch", 16)
    assert report["protocol"]["patch"] == 16
    assert report["methods"]["other"]["figures"]["distance"]["value"] > 0


@pytest.mark.usefixtures("folder")
def test_fewer_pictures_of_every_set_are_spread_over_its_names():
    report = report_of("--pred", "made", "--images", 5)
    assert list(report["methods"]["made"]["pictures"]) == ["m0.bmp", "m2.png", "m4.png", "m6.png", "m8.png"]
    assert report["inputs"]["pictures"] == 10


def test_the_same_command_writes_the_same_bytes_and_a_check_passes_until_a_set_changes(folder, capsys):
    for name in ("one", "two"):
        report_of("--pred", "made", out=name)
    for file in ("report.json", "report.html"):
        assert (folder / "one" / file).read_bytes() == (folder / "two" / file).read_bytes()
    again = ["--features", "means.pt", "--pred", "made", "--check", "one/report.json"]
    assert evaluate(*again) == 0
    for path in (folder / "made").glob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert evaluate(*again, "--tolerance", "distance=0") == 1
    assert re.search(r"^sr3: made: distance was .*, tolerance 0$", capsys.readouterr().err, re.MULTILINE)
    (folder / "made" / "m3.png").unlink()
    assert evaluate(*again) == 2
    assert "made: the earlier report is of other images" in capsys.readouterr().err


def test_a_report_of_pairs_is_no_report_of_sets(folder, capsys):
    report_of("--pred", "made")
    command = ["evaluate", "--truth", "made", "--pred", "made", "--features", "means.pt", "--check", "out/report.json"]
    for path in (folder / "made").glob("*.bmp"):
        path.unlink()
    assert run(command) == 2
    assert "the earlier report has another matching: none, sets of any images, now None" in capsys.readouterr().err


def test_the_page_shows_some_pictures_of_each_set(folder):
    report_of("--pred", "made", "--pred", "other")
    page = (folder / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3 * 6
    assert "Each set against the same truths" in page
    assert "Metrics per image" not in page


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--features", "means.pt"], "nothing to evaluate; give --pred DIR"),
        (["--pred", "made"], "--unpaired: needs a network to compare sets; give --features"),
        (["--pred", "made", "--features", "means.pt", "--model", "photos-x4"], "--model: does not go with --unpaired"),
        (["--features", "means.pt", "--filter", "bicubic"], "--filter: does not go with --unpaired"),
        (["--pred", "made", "--features", "means.pt", "--input", "made"], "--input: does not go with --unpaired"),
        (["--pred", "made", "--features", "means.pt", "--scale", "4"], "--scale: does not go"),
        (["--pred", "made", "--features", "means.pt", "--steps", "4"], "--steps: does not go"),
        (["--pred", "made", "--features", "means.pt", "--sampler", "ddim"], "--sampler: does not go"),
        (["--pred", "made", "--features", "means.pt", "--samples", "2"], "--samples: does not go"),
        (["--pred", "made", "--features", "means.pt", "--border", "2"], "--border: does not go"),
        (["--pred", "made", "--features", "means.pt", "--task", "classification"], "--task: does not go"),
        (["--pred", "made", "--features", "means.pt", "--perceptual", "lpips-alex"], "--perceptual: does not go"),
        (["--pred", "made", "--pred", "x/made", "--features", "means.pt"], "made: is the name of two methods"),
        (
            ["--pred", "few", "--features", "means.pt"],
            "few: 3 images are too few to compare features; give at least 4",
        ),
        (["--pred", "made", "--features", "means.pt", "--images", "3"], "truth: 3 images are too few"),
        (["--pred", "one", "--classifier", "means.pt"], "one: one image is too few for metrics of a set"),
        (["--pred", "bands", "--features", "means.pt"], "a.tif: has 5 channels; networks accept grey and colour only"),
        (["--pred", "nowhere", "--features", "means.pt"], "no such file or folder"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_code_2(arguments, complaint, folder, capsys):
    for name, count in (("few", 3), ("one", 1), ("bands", 4)):
        (folder / name).mkdir()
        for path in sorted((folder / "made").iterdir())[:count]:
            (folder / name / path.name).write_bytes(path.read_bytes())
    write_tiff(folder / "bands" / "a.tif", np.zeros((16, 16, 5), np.uint8))
    assert evaluate(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "runs the code of" not in line]
    assert complaint in lines[-1]
    assert lines[-1].startswith("sr3: ")
    assert len(lines) == 1
