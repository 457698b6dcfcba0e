"""A model that cleans its input first: joined from two, and then the same as one after the other."""

import numpy as np
import pytest
import torch

from pictures import smooth, write_random_model, write_restoration
from sr3.checkpoint import RESTORATION_PREFIX, read_model, write_model
from sr3.cli.app import run
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.joining import join, read_parts
from sr3.exchange.whole import WholeWay
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.enlarging import previews_of
from sr3.upscaling.sizing import Sizing

pytestmark = pytest.mark.slow

ONE_STEP = ("sampling.sampler=ddim", "sampling.eta=0", "sampling.steps=1")


@pytest.fixture
def parts(tmp_path):
    clean = write_restoration(tmp_path / "clean.safetensors")
    return clean, write_random_model(tmp_path / "large.safetensors", settings=ONE_STEP)


@pytest.fixture
def joined(parts, tmp_path):
    join(read_parts(*map(str, parts)), tmp_path / "joined.safetensors")
    return tmp_path / "joined.safetensors"


def image_of(height, width):
    return torch.from_numpy(smooth(height, width)).permute(2, 0, 1)[None].float() / 127.5 - 1


def upscaled(model, low_res):
    upscaler = open_upscaler(str(model), device="cpu", dtype="float32")
    return upscaler.upscale(low_res, sampling=upscaler.info.config.sampling, seeds=[0])


def test_joined_it_is_one_after_the_other(parts, joined):
    low_res = image_of(20, 24)
    cleaned = upscaled(parts[0], low_res)
    assert 0.004 < float((cleaned - low_res).abs().mean()) < 0.5, "the comparison could fail"
    found, expected = upscaled(joined, low_res), upscaled(parts[1], cleaned)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(found, upscaled(parts[1], low_res), atol=1e-2)


def test_an_input_of_several_windows_is_cleaned_as_if_taken_whole(joined):
    upscaler = open_upscaler(str(joined), device="cpu", dtype="float32")
    low_res, restoration = image_of(300, 270), upscaler.denoiser.restoration
    with torch.no_grad():
        whole = restoration.decode(restoration.network.answer(low_res), low_res).clamp(-1, 1)
    torch.testing.assert_close(upscaler.cleaned(low_res).images, whole, rtol=0, atol=1e-5)


def test_a_forked_process_is_told_so_before_it_cleans(joined, monkeypatch):
    upscaler = open_upscaler(str(joined), device="cpu", dtype="float32")

    def refuse():
        raise ConfigError("forked")

    monkeypatch.setattr("sr3.sampling.upscaler.check_not_forked", refuse)
    with pytest.raises(ConfigError, match="forked"):
        upscaler.cleaned(image_of(8, 8))


def test_a_result_of_two_passes_is_cleaned_once(parts, joined, tmp_path):
    sizing, low_res = Sizing(scale=6), image_of(12, 12)
    upscaler = open_upscaler(str(joined), device="cpu", dtype="float32")
    plan = sizing.plan(12, 12, 4, tmp_path)
    assert plan.passes == 2
    sampling = upscaler.info.config.sampling
    *_, last = previews_of(upscaler, low_res, plan, sampling=sampling, seeds=[0])
    alone = open_upscaler(str(parts[1]), device="cpu", dtype="float32")
    *_, expected = previews_of(alone, upscaled(parts[0], low_res), plan, sampling=sampling, seeds=[0])
    assert last.guess.shape == (1, 3, 72, 72)
    torch.testing.assert_close(last.guess, expected.guess, rtol=0, atol=1e-5)


def test_the_whole_way_cleans_first(joined):
    low_res = image_of(16, 16)
    with torch.no_grad():
        found = WholeWay(read_model(joined), 16).eval()((low_res + 1) / 2)
        without = read_model(joined)
        changed = {name: value for name, value in without.weights.items() if not name.startswith(RESTORATION_PREFIX)}
        config = without.info.config.model_copy(update={"restoration": None})
        info = without.info.model_copy(update={"config": config})
        cleaned = open_upscaler(str(joined), device="cpu", dtype="float32").cleaned(low_res).images
        expected = WholeWay(type(without)(info, changed), 16).eval()((cleaned + 1) / 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_command_writes_it_and_keeps_what_is_there(parts, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    command = ["join", *map(str, parts), str(out)]
    assert run(command) == 0
    assert "clean, then" in capsys.readouterr().out
    file = read_model(out)
    assert file.info.name == "mine"
    assert file.info.config.restoration.name == "clean"
    for name, value in read_model(parts[1]).weights.items():
        assert torch.equal(file.weights[name], value)
    before = out.read_bytes()
    assert run(command) == 2
    assert "exists; replace it with --overwrite" in capsys.readouterr().err
    assert run(["join", *map(str, parts), str(tmp_path / "mine.onnx")]) == 2
    assert out.read_bytes() == before


def test_half_precision_is_kept(parts, tmp_path):
    halves = []
    for path in parts:
        file = read_model(path)
        halves.append(tmp_path / f"half-{path.name}")
        write_model(halves[-1], file.info, file.weights, dtype=torch.float16)
    join(read_parts(*map(str, halves)), tmp_path / "small.safetensors")
    join(read_parts(*map(str, parts)), tmp_path / "joined.safetensors")
    small, large = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("small", "joined"))
    assert small < 0.6 * large
    assert np.isclose(float(read_model(tmp_path / "small.safetensors").weights["head.bias"][0]),
                      float(read_model(halves[1]).weights["head.bias"][0]))  # fmt: skip


@pytest.mark.parametrize(
    ("restoration", "model", "reason"),
    [
        ("large", "large", "a restoration model has family span and scale 1"),
        ("clean", "joined", "cleans its input already"),
        ("grey", "large", "takes images of 3 channels, and grey of 1"),
    ],
)
@pytest.mark.usefixtures("joined")
def test_what_does_not_fit_is_refused(restoration, model, reason, tmp_path):
    write_restoration(tmp_path / "grey.safetensors", channels=1)
    paths = [str(tmp_path / f"{name}.safetensors") for name in (restoration, model)]
    with pytest.raises(CheckpointError, match=reason):
        join(read_parts(*paths), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_it_is_neither_trained_on_nor_exported_without_its_first_part(joined, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    arguments = ["--data", str(photos), "--out", str(tmp_path / "run")]
    assert run(["train", "tiny-x4", *arguments, "--start", str(joined)]) == 2
    assert "has the restoration network clean, which is not trained" in capsys.readouterr().err
    assert run(["distill", str(joined), *arguments]) == 2
    assert "give the model it was joined from" in capsys.readouterr().err
    assert run(["export", str(joined), str(tmp_path / "out.onnx")]) == 2
    assert "export it with --whole" in capsys.readouterr().err
    section = '{name="clean", digest="' + "0" * 64 + '", network={family="span", width=8, blocks=2}}'
    assert run(["train", "tiny-x4", *arguments, "--set", f"restoration={section}"]) == 2
    assert "train it alone, then use sr3 join" in capsys.readouterr().err
