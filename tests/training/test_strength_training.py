"""Training of the network that measures how strongly an input needs cleaning, and what a model does with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d
from torch.testing import assert_close

import sr3
from pictures import smooth, write_random_model, write_restoration
from sr3.checkpoint import STRENGTH_PREFIX, read_model
from sr3.cli.app import run
from sr3.data.opening import open_source
from sr3.errors import DataError
from sr3.exchange.joining import join, read_parts
from sr3.networks.strength import StrengthNetwork
from sr3.sampling.mean_tiles import DOUBT, MOST_MEASURED, measured_strength
from sr3.sampling.upscaler import open_upscaler
from sr3.training import strength

pytestmark = pytest.mark.slow

ONE_STEP = ("sampling.sampler=ddim", "sampling.eta=0", "sampling.steps=1")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(smooth(150 + number, 140)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def few_passes(monkeypatch):
    monkeypatch.setattr(strength, "PASSES", 6)


def trained(restoration, photos, *, count, reduction=1):
    shown = []
    found = strength.train_strength(
        read_model(restoration),
        open_source(str(photos)),
        count=count,
        reduction=reduction,
        device=torch.device("cpu"),
        on_progress=lambda what, share: shown.append((what, share)),
    )
    return found, shown


def test_it_learns_which_images_are_noisy(photos, tmp_path, monkeypatch):
    """A mean of 3x3 as restoration: right for noise, wrong for what is clean."""
    monkeypatch.setattr(
        strength, "restored", lambda _, image, **__: avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
    )
    path = write_restoration(tmp_path / "clean.safetensors", "data.degradation=noise")
    found, shown = trained(path, photos, count=120)
    assert found.constant_error > 0.2
    assert found.error < 0.4 * found.constant_error
    assert {what for what, _ in shown} == {"examples", "training"}
    assert all(0 <= share < 1 for _, share in shown)
    clean = torch.from_numpy(smooth(128, 128)).permute(2, 0, 1)[None].float() / 127.5 - 1
    noisy = clean + 10 / 127.5 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    one, other = (
        float(measured_strength(found.network, image, avg_pool2d(image, 3, 1, 1, count_include_pad=False)))
        for image in (clean, noisy)
    )
    assert one < 0.3 < 0.6 < other <= MOST_MEASURED
    again, _ = trained(path, photos, count=120)
    assert again.error == found.error, "the same command, the same network"


def test_reduced_first_the_examples_are_of_the_reduced_size(photos, tmp_path):
    path = write_restoration(tmp_path / "clean.safetensors")
    with pytest.raises(DataError, match="4 of 4 images cannot be used"):
        trained(path, photos, count=20, reduction=2)
    for number in range(1, 4):
        (photos / f"{number}.png").unlink()
    with pytest.raises(DataError, match="is the only image"):
        trained(path, photos, count=20)
    for number in range(2):
        Image.fromarray(smooth(260, 256)).save(photos / f"{number}.png")
    assert trained(path, photos, count=20, reduction=2)[0].error > 0


def test_pairs_are_refused(photos, tmp_path):
    path = write_restoration(tmp_path / "clean.safetensors", "data.degradation=paired")
    with pytest.raises(DataError, match="was trained on pairs"):
        trained(path, photos, count=20)


def test_the_command_trains_it_and_the_model_measures(photos, tmp_path, capsys):
    clean = write_restoration(tmp_path / "clean.safetensors")
    large = write_random_model(tmp_path / "large.safetensors", settings=ONE_STEP)
    out = tmp_path / "mine.safetensors"
    assert run(["join", str(clean), str(large), str(out), "--data", str(photos), "--examples", "20"]) == 0
    assert "strength: off by" in capsys.readouterr().out
    file = read_model(out)
    assert file.info.config.restoration.strength_width == strength.WIDTH
    assert sum(name.startswith(STRENGTH_PREFIX) for name in file.weights) == 10
    assert run(["join", str(clean), str(large), str(tmp_path / "no.safetensors"), "--data", str(tmp_path / "x")]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "no.safetensors").exists()


@pytest.fixture
def model(tmp_path):
    """A model whose measured strength is between 0 and 1, and another for another image."""
    clean = write_restoration(tmp_path / "clean.safetensors")
    large = write_random_model(tmp_path / "large.safetensors", settings=ONE_STEP)
    torch.manual_seed(0)
    network = StrengthNetwork(8, image_channels=3)
    with torch.no_grad():
        network.last.weight *= 0.3
        network.last.bias.fill_(0.8)
    join(read_parts(str(clean), str(large)), tmp_path / "joined.safetensors", strength=network)
    return tmp_path / "joined.safetensors"


def tensor(pixels):
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def test_an_image_is_cleaned_as_measured(model, tmp_path):
    upscaler = open_upscaler(str(model), device="cpu", dtype="float32")
    pixels = smooth(64, 72)
    low_res = tensor(pixels)
    both = torch.cat([low_res, low_res.flip(-1) * 0.3])
    strengths = upscaler.cleaned(both).strengths
    assert 0.05 < float(strengths.min()) < float(strengths.max()) < 0.95
    full = sr3.load(str(model), restoration=1.0)._upscaler_for(low_res).cleaned(both).images
    expected = both + strengths[:, None, None, None] * (full - both)
    assert_close(upscaler.cleaned(both).images, expected, rtol=0, atol=1e-5)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    outs = []
    for name, more in (
        ("a.png", ()),
        ("a.png", (f"--restoration={float(strengths[0])}",)),
        ("a.png", ("--restoration=1",)),
    ):
        outs.append(tmp_path / f"{len(outs)}-out.png")
        command = ["upscale", str(tmp_path / name), "-o", str(outs[-1]), "--model", str(model)]
        assert run([*command, "--dtype", "float32", *more]) == 0
    found, asked, in_full = (np.asarray(Image.open(out)).astype(int) for out in outs)
    assert np.abs(found - asked).max() <= 1
    assert np.abs(found - in_full).mean() > 0.1
    assert np.array_equal(np.asarray(sr3.load(str(model), dtype="float32").upscale(pixels)), found)


@pytest.mark.parametrize(("quality", "expected"), [(95, 0.5), (100, "measured")])
def test_a_jpeg_file_is_cleaned_by_its_quality_unless_it_clearly_needs_more(model, tmp_path, quality, expected):
    Image.fromarray(smooth(64, 72)).save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        low_res = tensor(np.array(image))
    upscaler = open_upscaler(str(model), device="cpu", dtype="float32")
    if expected == "measured":
        expected = float(upscaler.cleaned(low_res).strengths) - DOUBT
        assert expected > 0.05
    found = []
    for number, option in enumerate(("auto", str(expected))):
        out = tmp_path / f"{number}.png"
        command = ["upscale", str(tmp_path / "a.jpg"), "-o", str(out), "--model", str(model), "--dtype", "float32"]
        assert run([*command, f"--restoration={option}"]) == 0
        found.append(np.asarray(Image.open(out)).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1
    assert float(replace(upscaler, stated=0.02).cleaned(low_res).strengths) != 0.02
    assert float(replace(upscaler, stated=1.3).cleaned(low_res).strengths) == pytest.approx(1.3)


def test_what_is_written_again_still_measures(model, tmp_path):
    assert run(["average", str(model), str(model), str(tmp_path / "mean.safetensors")]) == 0
    low_res = tensor(smooth(64, 72))
    one, other = (
        open_upscaler(str(path), device="cpu", dtype="float32").cleaned(low_res)
        for path in (model, tmp_path / "mean.safetensors")
    )
    assert_close(one, other, rtol=0, atol=1e-6)


def test_what_does_not_fit_is_refused_before_the_training(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(strength, "train_strength", None)
    clean = write_restoration(tmp_path / "grey.safetensors", channels=1)
    large = write_random_model(tmp_path / "large.safetensors", settings=ONE_STEP)
    command = ["join", str(clean), str(large), str(tmp_path / "out.safetensors"), "--data", str(photos)]
    assert run(command) == 2
    assert "takes images of 3 channels, and grey of 1" in capsys.readouterr().err
