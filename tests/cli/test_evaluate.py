"""`sr3 evaluate`, as a person uses it, on real files."""

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import stats
from skimage import color, metrics
from torch import nn

from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.config import apply_settings
from sr3.digest import digest_of_weights
from sr3.evaluation.description import described, environment
from sr3.evaluation.inputs import NetworkNames, warn_of_teachers
from sr3.evaluation.settings import Networks, Settings
from sr3.images.resize import downsample
from sr3.metrics.features import INCEPTION, FeatureNetwork
from sr3.metrics.registry import find_metric
from sr3.presets import preset

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COUNT = 5


def grainy(k):
    """An image with texture that no filter brings back."""
    grain = np.random.default_rng(k).normal(0, 12, (48, 64, 3))
    return (smooth(48, 64, seed=k) + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Truths, inputs and two methods by Pillow, two suffixes, one folder deep."""
    for name in ("truth", "input", "bicubic", "lanczos"):
        (tmp_path / name / "deep").mkdir(parents=True)
    for k in range(COUNT):
        place = f"deep/{k}_picture" if k == 0 else f"{k}_picture"
        truth = Image.fromarray(grainy(k))
        low = truth.resize((16, 12), Image.Resampling.BICUBIC)
        truth.save(tmp_path / "truth" / f"{place}.png")
        low.save(tmp_path / "input" / f"{place}.png")
        low.resize((64, 48), Image.Resampling.BICUBIC).save(tmp_path / "bicubic" / f"{place}.bmp")
        low.resize((64, 48), Image.Resampling.LANCZOS).save(tmp_path / "lanczos" / f"{place}.png")
    return tmp_path


def evaluate(folder, *arguments):
    given = ["--truth", folder / "truth", *arguments]
    return run(["evaluate", *map(str, given)])


def report_of(folder, *arguments, name="out"):
    assert evaluate(folder, *arguments, "-o", folder / name) == 0
    return json.loads((folder / name / "report.json").read_text())


def pixels(path):
    return np.asarray(Image.open(path)).astype(np.float64) / 255


def values(report, method, key):
    return {name: row[key] for name, row in report["methods"][method]["pictures"].items()}


def test_figures_are_those_of_scikit_image(folders):
    report = report_of(folders, "--pred", folders / "bicubic", "--input", folders / "input", "--border", 4)
    found = report["methods"]["bicubic"]
    of_input, of_truth = {"consistency", "colour_shift"}, {"sharpness", "ripples", "grain"}
    assert set(found["figures"]) == {"psnr", "psnr_y", "ssim", "ssim_y", *of_input, *of_truth}
    for name, row in found["pictures"].items():
        truth, result = (
            pixels(folders / f"{kind}/{name}.{end}") for kind, end in (("truth", "png"), ("bicubic", "bmp"))
        )
        inner = [part[4:-4, 4:-4] for part in (truth, result)]
        light = [color.rgb2ycbcr(part)[..., 0] for part in inner]
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        assert row["psnr"] == pytest.approx(metrics.peak_signal_noise_ratio(*inner, data_range=1), rel=1e-6)
        assert row["psnr_y"] == pytest.approx(metrics.peak_signal_noise_ratio(*light, data_range=255), rel=1e-6)
        expected = metrics.structural_similarity(*inner, data_range=1, channel_axis=2, **options)
        assert row["ssim"] == pytest.approx(expected, rel=1e-6)
        assert row["ssim_y"] == pytest.approx(
            metrics.structural_similarity(*light, data_range=255, **options), rel=1e-6
        )
        planes = [Image.fromarray(plane.astype(np.float32)) for plane in result.transpose(2, 0, 1)]
        shrunk = np.stack([np.asarray(plane.resize((16, 12), Image.Resampling.BICUBIC)) for plane in planes])
        low = pixels(folders / f"input/{name}.png").transpose(2, 0, 1)
        assert row["consistency"] == pytest.approx(1e5 * np.mean((shrunk - low) ** 2), rel=1e-4)
        steps = [sum(np.abs(np.diff(part, axis=axis)).mean() for axis in (0, 1)) for part in inner[::-1]]
        assert row["sharpness"] == pytest.approx(steps[0] / steps[1], rel=1e-6)
    assert found["figures"]["psnr"]["value"] == pytest.approx(
        np.mean([row["psnr"] for row in found["pictures"].values()])
    )


def test_grain_stands_beside_the_truths_own_and_a_moved_colour_is_a_shift(tmp_path):
    """Flat grey with noise of one level: grain is sqrt(8/9); the result is blank and 3 levels brighter in blue."""
    for name in ("truth", "made"):
        (tmp_path / name).mkdir()
    noise = np.random.default_rng(0).normal(100, 1, (64, 64, 3)).round()
    Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "truth" / "a.png")
    Image.fromarray(np.tile(np.uint8([100, 100, 103]), (64, 64, 1))).save(tmp_path / "made" / "a.png")
    report = report_of(tmp_path, "--pred", tmp_path / "made", "--scale", 4)
    assert list(report["methods"]) == ["truth", "made"]
    truth, made = (report["methods"][name]["figures"] for name in ("truth", "made"))
    assert set(truth) == {"grain"}
    assert truth["grain"]["value"] == pytest.approx(np.sqrt((1 + 1 / 12) * 8 / 9), rel=0.02)
    assert made["grain"]["value"] == pytest.approx(0, abs=1e-6)
    assert made["colour_shift"]["value"] == pytest.approx(3, abs=0.1)


def test_differences_are_paired(folders):
    report = report_of(folders, "--pred", f"a={folders / 'bicubic'}", "--pred", f"b={folders / 'lanczos'}")
    (difference,) = report["differences"]
    a, b = (np.array(list(values(report, name, "psnr").values())) for name in "ab")
    figure = difference["figures"]["psnr"]
    assert (difference["first"], difference["second"]) == ("a", "b")
    assert figure["value"] == pytest.approx((a - b).mean())
    other = stats.bootstrap((a - b,), np.mean, method="percentile", rng=0).confidence_interval
    assert (figure["low"], figure["high"]) == pytest.approx((other.low, other.high), abs=0.03)
    alone = report["methods"]["a"]["figures"]["psnr"]
    assert figure["high"] - figure["low"] < alone["high"] - alone["low"]


def test_the_same_command_writes_the_same_bytes(folders):
    for name in ("one", "two"):
        report_of(folders, "--pred", folders / "bicubic", "--filter", "lanczos", "--scale", 4, name=name)
    for file in ("report.json", "report.html"):
        assert (folders / "one" / file).read_bytes() == (folders / "two" / file).read_bytes()


def test_a_picture_is_measured_by_itself(folders):
    together = report_of(folders, "--pred", folders / "bicubic")
    for kind, end in (("truth", "png"), ("bicubic", "bmp")):
        for k in (1, 2, 3):
            (folders / kind / f"{k}_picture.{end}").unlink()
        # In another order than before.
        (folders / kind / f"4_picture.{end}").rename(folders / kind / f"a.{end}")
    fewer = values(report_of(folders, "--pred", folders / "bicubic", name="fewer"), "bicubic", "ssim")
    before = values(together, "bicubic", "ssim")
    assert list(fewer.values()) == [before["4_picture"], before["deep/0_picture"]]


def test_a_table_is_printed_and_json_alone_if_asked_for(folders, capsys):
    assert evaluate(folders, "--pred", folders / "bicubic", "--filter", "bicubic", "--scale", 4) == 2
    assert "bicubic: is the name of two methods" in capsys.readouterr().err
    assert evaluate(folders, "--pred", f"mine={folders / 'bicubic'}") == 0
    table = capsys.readouterr().out
    assert re.search(r"PSNR, dB ↑ +\d\d\.\d\d \[\d\d\.\d\d, \d\d\.\d\d\]", table)
    assert "mine" in table
    assert evaluate(folders, "--pred", folders / "bicubic", "--json") == 0
    captured = capsys.readouterr()
    assert set(json.loads(captured.out)["methods"]) == {"bicubic"}
    assert captured.err == ""


def test_the_page_holds_everything_it_shows(folders):
    report_of(folders, "--pred", f"<mine>={folders / 'bicubic'}", "--input", folders / "input")
    page = (folders / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3 * 3
    assert not re.search(r"(src|href)=['\"]?(?!data:)[a-z./]", page)
    assert "http" not in page
    assert "&lt;mine&gt;" in page
    assert "<mine>" not in page
    for words in ("worst of", "median of", "best of", "Keys&#x27; kernel", "protocol: samples = 1"):
        assert words in page


def test_a_model_is_measured_as_its_upscaled_files_are(folders):
    model = write_random_model(folders / "model.safetensors")
    drawing = ["--samples", 2, "--seed", 3]
    sampling = ["--model", model, "--steps", 2, "--device", "cpu", "--dtype", "float32", *drawing]
    for source, target in (("input", "drawn"), ("input/deep", "drawn/deep")):
        assert run(list(map(str, ["upscale", folders / source, "-o", folders / target, *sampling]))) == 0
    drawn = report_of(folders, "--input", folders / "input", "--pred", folders / "drawn", *drawing, name="files")
    asked = report_of(folders, "--input", folders / "input", *sampling, name="model")
    assert drawn["methods"]["drawn"]["figures"] == asked["methods"]["model"]["figures"]
    assert {"deviation", "crps", "energy", "coverage", "spread_to_error"} < set(asked["methods"]["model"]["figures"])
    assert len(asked["methods"]["model"]["ranks"]) == 3
    assert asked["metrics"]["coverage"]["target"] == pytest.approx(1 / 3)
    assert asked["methods"]["model"]["settings"]["steps"] == 2


def test_the_report_tells_levels_weights_and_device_of_a_model(folders):
    levels = [4.4e-5, 0.25, 1.0]
    found = f'{{sampler = "ddim", eta = 0.0, steps = 2, gammas = {levels}, metric = "psnr", score = 1.0, before = 0.0}}'
    searched = write_random_model(folders / "searched.safetensors", settings=[f"sampling.searched=[{found}]"])
    given = ["--model", searched, "--sampler", "ddim", "--first", 1, "--device", "cpu"]
    of_two = report_of(folders, *given, "--steps", 2, "--dtype", "bfloat16")["methods"]["searched"]["settings"]
    of_three = report_of(folders, *given, "--steps", 3)["methods"]["searched"]["settings"]
    assert (of_two["levels"], of_two["levels_searched"], of_two["dtype"]) == (levels, True, "bfloat16")
    assert len(of_three["levels"]) == 4
    assert (of_three["levels"][0], of_three["levels"][-1]) == pytest.approx((4.4e-5, 1.0))
    assert of_three["levels_searched"] is False
    assert of_two["weights"] == of_three["weights"] == digest_of_weights(load_file(searched))
    assert of_two["device"] == "cpu"


def test_versions_of_packages_of_networks_are_told_where_they_are_installed(monkeypatch):
    def version(package):
        if package == "timm":
            return "1.2.3"
        raise PackageNotFoundError(package)

    monkeypatch.setattr("sr3.evaluation.description.version", version)
    told = environment()
    assert (told["timm"], told["pillow"]) == ("1.2.3", "not installed")
    assert "torchvision" not in told


def test_a_regression_is_drawn_once_beside_a_model_of_many_steps(folders):
    write_random_model(folders / "sr3.safetensors")
    regression = ["objective.kind=regression", "denoiser.prediction=y0", "objective.loss=l2"]
    settings = [*regression, "sampling.sampler=regression", "sampling.steps=1"]
    write_random_model(folders / "plain.safetensors", settings=settings)
    both = ["--model", folders / "sr3.safetensors", "--model", folders / "plain.safetensors"]
    report = report_of(folders, *both, "--steps", 2, "--samples", 2, "--images", 2, "--device", "cpu")
    assert "deviation" in report["methods"]["sr3"]["figures"]
    assert "deviation" not in report["methods"]["plain"]["figures"]
    assert report["inputs"]["pictures"] == 2


class Means(nn.Module):
    """Twelve logits: means of quarters of an image."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Average."""
        return nn.functional.adaptive_avg_pool2d(image, 2).flatten(1)


class Places(nn.Module):
    """As many numbers as the image has places of 8x8."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Flatten."""
        return nn.functional.avg_pool2d(image, 8).flatten(1)


def scripted(module, path):
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(module).save(path)
    return path


@pytest.fixture
def network(tmp_path):
    return scripted(Means(), tmp_path / "means.pt")


def test_features_that_grow_with_the_picture_need_pictures_of_one_size(folders, capsys):
    places = scripted(Places(), folders / "places.pt")
    for name in ("truth", "bicubic"):
        for path in (folders / name).rglob("1_picture.*"):
            Image.open(path).crop((0, 0, 48, 48)).save(path)
    given = ["--pred", folders / "bicubic", "--features", places]
    assert evaluate(folders, *given) == 2
    complaint = "the feature network gives 108 numbers for one image and 144 for another"
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"sr3: {complaint}")
    assert "distance" in report_of(folders, *given, "--patch", 24)["metrics"]


def test_it_is_said_whose_code_runs(folders, network, capsys):
    given = ["--features", network, "--patch", 24, "--classifier", "efficientnet-lite0"]
    evaluate(folders, "--pred", folders / "bicubic", *given)
    said = [line for line in capsys.readouterr().err.splitlines() if "runs the code" in line]
    assert said == [f"sr3: --features runs the code of {network}"]


def test_a_model_that_was_trained_on_the_network_that_measures_it_is_named():
    taught = ["objective.kind=regression", "denoiser.prediction=y0", "sampling.sampler=regression", "sampling.steps=1"]
    discriminator = [
        "objective.adversary.adversarial=0.1",
        "objective.adversary.discriminator=projected",
        'objective.adversary.projected=["efficientnet-lite1"]',
    ]
    config = apply_settings(preset("tiny-x4"), [*taught, *discriminator])
    models = {"mine": config, "other": apply_settings(preset("tiny-x4"), taught)}
    with pytest.warns(UserWarning, match="mine was trained against efficientnet-lite1, so its metrics") as said:
        warn_of_teachers(models, NetworkNames("inception", "efficientnet-lite1"))
    assert len(said) == 1


def test_networks_give_figures_called_by_their_names(folders, network):
    given = ["--features", network, "--patch", 24, "--classifier", network, "--classifier-range", "unit"]
    report = report_of(folders, "--pred", folders / "bicubic", *given)
    titles = {key: metric["title"] for key, metric in report["metrics"].items()}
    assert titles["distance"] == "FD (means)"
    assert titles["kernel"] == "KD (means)"
    assert titles["inception"] == "IS (means)"
    assert titles["top1"] == "top-1 (means)"
    assert set(report["methods"]["truth"]["figures"]) == {"top1", "top5", "inception"}
    assert {"precision", "recall"} < set(report["methods"]["bicubic"]["figures"])
    told = report["protocol"]["feature network"]
    assert (told["name"], len(told["sha256"])) == ("means", 64)
    assert report["protocol"]["classifier range"] == "unit"
    assert report["notes"] == []


def test_figures_of_pictures_are_kept_before_those_of_sets(folders, network, monkeypatch):
    def too_large(*_):
        raise MemoryError

    monkeypatch.setattr("sr3.evaluation.run.compare_sets", too_large)
    with pytest.raises(MemoryError):
        report_of(folders, "--pred", folders / "bicubic", "--features", network, "--patch", 24)
    report = json.loads((folders / "out" / "report.json").read_text())
    assert len(values(report, "bicubic", "psnr")) == COUNT
    assert report["notes"] == ["not finished: figures of the whole set are still to come"]


def test_only_whole_pictures_by_inception_have_the_short_names():
    inception = Networks(features=FeatureNetwork(INCEPTION, "0" * 64, lambda image: image))
    titles = {patch: described(find_metric("distance"), inception, Settings(patch=patch))["title"] for patch in (0, 64)}
    assert titles == {0: "FID", 64: "FD (Inception (torch-fidelity))"}


def test_the_first_truths_are_taken_by_name(folders):
    report = report_of(folders, "--filter", "bicubic", "--scale", 4, "--first", 2)
    assert list(values(report, "bicubic", "psnr")) == ["1_picture", "2_picture"]


def test_a_model_that_learnt_from_given_inputs_needs_them(folders, capsys):
    model = write_random_model(folders / "paired.safetensors", settings=["data.degradation=paired"])
    sampling = ["--model", model, "--steps", 1, "--first", 1, "--device", "cpu"]
    assert evaluate(folders, *sampling) == 2
    assert "data.degradation is paired), which cannot be made from truths; give --input" in capsys.readouterr().err
    report = report_of(folders, *sampling, "--input", folders / "input")
    assert report["protocol"]["degradation"] == "paired"


def test_truths_as_results_have_no_distance_and_infinite_psnr(folders, network):
    report = report_of(folders, "--pred", f"same={folders / 'truth'}", "--features", network, "--patch", 24)
    figures = {key: entry["value"] for key, entry in report["methods"]["same"]["figures"].items()}
    assert figures["psnr"] == "inf"
    assert (figures["ssim"], figures["sharpness"]) == pytest.approx((1, 1))
    assert (figures["precision"], figures["recall"]) == (1, 1)
    assert figures["distance"] == pytest.approx(0, abs=1e-6)


def test_the_share_of_right_answers_is_counted_by_hand(folders, network):
    report = report_of(folders, "--pred", folders / "bicubic", "--classifier", network, "--classifier-range", "unit")
    for name, row in report["methods"]["bicubic"]["pictures"].items():
        middle = pixels(folders / f"bicubic/{name}.bmp")[3:45, 11:53]  # 42 = 7/8 of 48 pixels
        logits = [middle[a : a + 21, b : b + 21, c].mean() for c in range(3) for a in (0, 21) for b in (0, 21)]
        label = int(Path(name).name[0])
        assert row["top5"] == float(label in np.argsort(logits)[-5:])
        assert row["top1"] == float(label == np.argmax(logits))


def test_the_classification_of_the_paper_is_of_224_pixels(tmp_path, network):
    for name in ("truth", "made"):
        (tmp_path / name).mkdir()
    for k in range(2):
        truth = Image.fromarray(smooth(256, 256, seed=k))
        truth.save(tmp_path / "truth" / f"{k}_a.png")
        small = truth.crop((16, 16, 240, 240)).resize((56, 56), Image.Resampling.BICUBIC)
        entry = small.resize((64, 64), Image.Resampling.BICUBIC)
        entry.resize((256, 256), Image.Resampling.BICUBIC).save(tmp_path / "made" / f"{k}_a.png")
    given = ["--task", "classification", "--classifier", network, "--filter", "bicubic"]
    report = report_of(tmp_path, "--pred", tmp_path / "made", *given)
    assert report["protocol"]["task"] == "classification"
    assert "consistency" not in report["metrics"]
    assert {"top1", "top5"} == set(report["methods"]["truth"]["figures"]) - {"inception"}
    for k in range(2):
        truth, made = (Image.open(tmp_path / name / f"{k}_a.png") for name in ("truth", "made"))
        middle = np.asarray(truth.crop((16, 16, 240, 240))).astype(float)
        seen = np.asarray(made.resize((224, 224), Image.Resampling.BICUBIC)).astype(float)
        expected = metrics.peak_signal_noise_ratio(middle, seen, data_range=255)
        for method in ("made", "bicubic"):
            assert values(report, method, "psnr")[f"{k}_a"] == pytest.approx(expected, abs=0.1)


def test_a_classifier_needs_classes(folders, network, capsys):
    (folders / "truth" / "1_picture.png").rename(folders / "truth" / "one.png")
    (folders / "bicubic" / "1_picture.bmp").rename(folders / "bicubic" / "one.bmp")
    assert evaluate(folders, "--pred", folders / "bicubic", "--classifier", network) == 2
    assert "the class of 1 images is unknown (one)" in capsys.readouterr().err


def test_grey_beside_colour_is_noted(folders):
    for path in (folders / "bicubic").glob("*.bmp"):
        Image.open(path).convert("L").save(path)
    report = report_of(folders, "--pred", folders / "bicubic")
    assert report["notes"] == [
        "bicubic: 4 results are grey and the truth in colour, or vice versa; grey was expanded to three equal channels"
    ]


def test_grey_results_are_measured_beside_inputs_in_colour(folders):
    for folder in ("truth", "bicubic"):
        for path in (path for path in (folders / folder).rglob("*.*") if path.is_file()):
            Image.open(path).convert("L").save(path)
    report = report_of(folders, "--pred", folders / "bicubic", "--input", folders / "input")
    grey = pixels(folders / "bicubic" / "1_picture.bmp")
    low = pixels(folders / "input" / "1_picture.png")
    small = np.asarray(downsample(torch.from_numpy(grey)[None], 4))[0]
    expected = 1e5 * ((small[..., None] - low) ** 2).mean()
    assert values(report, "bicubic", "consistency")["1_picture"] == pytest.approx(expected, rel=1e-4)


def test_results_are_cut_as_their_truths_were_and_no_others(folders, capsys):
    for path in (folders / "truth").glob("*.png"):
        Image.open(path).crop((0, 0, 64, 46)).save(path)
    for path in (folders / "bicubic").glob("*.bmp"):
        Image.open(path).crop((0, 0, 64, 46)).save(path)
    assert evaluate(folders, "--pred", folders / "bicubic", "--scale", 4) == 0
    image = Image.open(folders / "bicubic" / "1_picture.bmp")
    image.resize((64, 47)).save(folders / "bicubic" / "1_picture.bmp")
    assert evaluate(folders, "--pred", folders / "bicubic", "--scale", 4) == 2
    assert "1_picture: the result is 64x47, its truth 64x44" in capsys.readouterr().err


def test_one_method_without_finite_figures_leaves_the_plots_of_the_others(folders):
    report_of(folders, "--pred", folders / "bicubic", "--pred", f"same={folders / 'truth'}")
    assert "<h3>PSNR, dB" in (folders / "out" / "report.html").read_text()


def test_a_check_passes_until_a_figure_moves(folders, capsys):
    report_of(folders, "--pred", folders / "bicubic", name="before")
    again = ["--pred", folders / "bicubic", "--check", folders / "before" / "report.json"]
    assert evaluate(folders, *again) == 0
    spoilt = folders / "bicubic" / "1_picture.bmp"
    Image.fromarray(np.asarray(Image.open(spoilt)) // 2).save(spoilt)
    capsys.readouterr()
    assert evaluate(folders, *again) == 1
    assert re.search(
        r"^sr3: bicubic: psnr was [\d.]+, is [\d.]+, tolerance 0.01$", capsys.readouterr().err, re.MULTILINE
    )
    loose = [part for key in ("psnr", "psnr_y", "ssim", "ssim_y", "sharpness") for part in ("--tolerance", f"{key}=99")]
    assert evaluate(folders, *again, *loose) == 0


def test_the_report_that_is_checked_is_not_replaced(folders, capsys):
    report_of(folders, "--pred", folders / "bicubic", name="before")
    report = folders / "before" / "report.json"
    kept = report.read_bytes()
    spoilt = folders / "bicubic" / "1_picture.bmp"
    Image.fromarray(np.asarray(Image.open(spoilt)) // 2).save(spoilt)
    assert evaluate(folders, "--pred", folders / "bicubic", "--check", report, "-o", folders / "before") == 2
    assert "would be overwritten by the new report" in capsys.readouterr().err
    assert report.read_bytes() == kept


def test_a_blank_truth_has_no_share_of_sharpness(folders):
    blank = np.full((48, 64, 3), 90, np.uint8)
    for name in ("truth", "bicubic"):
        Image.fromarray(blank).save(folders / name / "9_blank.png")
    Image.fromarray(blank + np.arange(64, dtype=np.uint8)[:, None] % 2).save(folders / "lanczos" / "9_blank.png")
    given = ["--pred", folders / "bicubic", "--pred", folders / "lanczos"]
    methods = report_of(folders, *given, name="blank")["methods"]
    for name in ("bicubic", "lanczos"):
        sharpness = methods[name]["figures"]["sharpness"]
        assert np.isfinite(sharpness["value"])
        assert sharpness["pictures"] == COUNT


def test_a_check_says_which_settings_are_not_those_of_the_earlier_report(folders, capsys):
    model = write_random_model(folders / "model.safetensors")
    given = ["--model", model, "--first", 1, "--device", "cpu"]
    report_of(folders, *given, "--steps", 2, name="before")
    loose = [f"--tolerance={key}=99" for key in ("psnr", "psnr_y", "ssim", "ssim_y", "sharpness")]
    again = [*given, "--check", folders / "before" / "report.json", *loose, "--tolerance=consistency=1e9"]
    capsys.readouterr()
    assert evaluate(folders, *again, "--steps", 2) == 0
    assert "sr3: model" not in capsys.readouterr().err
    assert evaluate(folders, *again, "--steps", 3) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sr3: model: ")]
    assert told[0] == "sr3: model: steps was 2, is 3"
    assert [line.split()[2] for line in told] == ["steps", "levels"]


def test_the_examples_measure_as_they_did(monkeypatch):
    monkeypatch.chdir(ROOT)
    filters = ["--filter", "bicubic", "--filter", "lanczos", "--scale", "4", "--border", "4"]
    assert run(["evaluate", "--data", "examples", *filters, "--check", "tests/golden/evaluation.json"]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to evaluate"),
        (["--pred", "nowhere"], "no such file or folder"),
        (["--pred", "truth=bicubic"], "is reserved for the truth itself"),
        (["--pred", "=bicubic"], "NAME=PATH"),
        (["--pred", "part"], "no image for 4 (1_picture, 2_picture, 3_picture, 4_picture); 1 without a truth (x)"),
        (["--pred", "small=input"], "the result is 16x12, its truth 64x48"),
        (["--filter", "bicubic"], "has no input to enlarge"),
        (["--filter", "nearest", "--scale", "4"], "--filter nearest"),
        (["--pred", "bicubic", "--task", "guess"], "--task guess"),
        (["--pred", "bicubic", "--features", "nothing"], "no such feature network"),
        (["--pred", "bicubic", "--perceptual", "nothing"], "no such perceptual distance"),
        (["--pred", "bicubic", "--classifier", "nothing"], "no such classifier"),
        (["--pred", "bicubic", "--classifier", "a.pt", "--classifier-range", "bgr"], "--classifier-range bgr"),
        (["--pred", "bicubic", "--border", "30"], "is too small"),
        (["--pred", "bicubic", "--check", "none.json"], "none.json: cannot be read"),
        (["--pred", "bicubic", "--tolerance", "psnr"], "--tolerance psnr"),
        (["--pred", "bicubic", "--tolerance", "beauty=1"], "give one of psnr"),
        (["--pred", "bicubic", "-o", "truth/1_picture.png"], "cannot be created as a folder"),
        (["--pred", "broken"], "cut short"),
        (["--pred", "bicubic", "--features", "means.pt", "--images", "3"], "3 images are too few"),
        (
            ["--pred", "bicubic", "--seed", str(2**70)],
            "'--seed': Input should be less than or equal to 9223372036854775807",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_code_2(arguments, complaint, folders, network, monkeypatch, capsys):
    assert network.parent == folders
    monkeypatch.chdir(folders)
    for name in ("part", "broken"):
        (folders / name / "deep").mkdir(parents=True)
        for path in (folders / "bicubic").rglob("*.bmp"):
            target = folders / name / path.relative_to(folders / "bicubic")
            if name == "broken" or target.parent.name == "deep":
                target.write_bytes(path.read_bytes()[:2000] if name == "broken" else path.read_bytes())
    (folders / "part" / "x.bmp").write_bytes((folders / "bicubic" / "1_picture.bmp").read_bytes())
    assert run(["evaluate", "--truth", "truth", *arguments]) == 2
    [error] = [line for line in capsys.readouterr().err.splitlines() if "runs the code of" not in line]
    assert complaint in error
    assert error.startswith("sr3: ")
