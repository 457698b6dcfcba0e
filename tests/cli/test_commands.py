"""The command line, as a person uses it, on real files."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

import unofficial
from pictures import GENERATOR, smooth, write_pictures, write_random_model
from sr3.cli.app import run
from sr3.images.resize import downsample
from started import start

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path):
    return str(write_random_model(tmp_path / "model.safetensors"))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(smooth(20, 24)).save(folder / "colour.png")
    Image.fromarray(smooth(13, 17)[..., 0].copy()).save(folder / "grey.jpg")
    alpha = np.dstack([smooth(16, 16), np.linspace(0, 255, 256).reshape(16, 16).astype(np.uint8)])
    Image.fromarray(alpha, "RGBA").save(folder / "clear.webp", lossless=True)
    return folder


def upscale(model, *arguments) -> int:
    return run(
        ["upscale", *map(str, arguments), "--model", model, "--steps", "2", "--device", "cpu", "--dtype", "float32"]
    )


def test_a_folder_is_upscaled_under_the_same_names(model, photos, tmp_path, capsys):
    assert upscale(model, photos, "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clear.webp", "colour.png", "grey.jpg"]
    for name, size, mode in (
        ("colour.png", (96, 80), "RGB"),
        ("grey.jpg", (68, 52), "L"),
        ("clear.webp", (64, 64), "RGBA"),
    ):
        with Image.open(tmp_path / "out" / name) as image:
            assert (image.size, image.mode) == (size, mode)
    assert "24x20 -> 96x80" in capsys.readouterr().out


def test_downsampling_the_result_gives_the_input_back(model, photos, tmp_path):
    Image.fromarray((smooth(20, 24) * 0.8 + 20).astype(np.uint8)).save(photos / "colour.png")
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "big.png") == 0
    before = torch.from_numpy(np.asarray(Image.open(photos / "colour.png")).copy()).permute(2, 0, 1).double() / 255
    after = torch.from_numpy(np.asarray(Image.open(tmp_path / "big.png")).copy()).permute(2, 0, 1).double() / 255
    assert float((downsample(after, 4) - before).square().mean()) < 1e-5


def test_the_same_seed_gives_the_same_bytes(model, photos, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert upscale(model, photos / "colour.png", "-o", tmp_path / name, "--seed", seed) == 0
    a, b, c = ((tmp_path / name / "colour.png").read_bytes() for name in "abc")
    assert a == b != c


def test_several_samples_are_numbered_and_differ(model, photos, tmp_path):
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "out", "--samples", 3) == 0
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["colour-1.png", "colour-2.png", "colour-3.png"]
    assert len({path.read_bytes() for path in files}) == 3


def test_results_that_exist_are_skipped_unless_overwrite_is_given(model, photos, tmp_path, capsys):
    target = tmp_path / "out" / "colour.png"
    assert upscale(model, photos / "colour.png", "-o", target.parent) == 0
    target.write_bytes(b"mine")
    assert upscale(model, photos / "colour.png", "-o", target.parent) == 0
    assert target.read_bytes() == b"mine"
    assert "--overwrite" in capsys.readouterr().out
    assert upscale(model, photos / "colour.png", "-o", target.parent, "--overwrite") == 0
    assert target.read_bytes() != b"mine"


def test_broken_files_get_a_line_each_and_the_others_are_done(model, photos, tmp_path, capsys):
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("not an image")
    whole = (photos / "grey.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (50_000, 4)).save(photos / "wide.png")
    assert upscale(model, photos, tmp_path / "missing.png", "-o", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clear.webp", "colour.png", "grey.jpg"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    for name in ("empty.png", "text.png", "cut.jpg", "wide.png", "missing.png"):
        assert sum(name in line and line.startswith("sr3: ") for line in lines) == 1
    assert any("200000x16" in line for line in lines)


def test_when_nothing_could_be_done_the_code_is_2(model, tmp_path, capsys):
    assert upscale(model, tmp_path / "missing.png", "-o", tmp_path / "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["upscale", "a.png"], "a.png: does not exist"),
        (["upscale", "a.png", "-o", "out", "--steps", "0"], "sampling.steps = 0"),
        (["upscale", "a.png", "-o", "out", "--model", "nothing"], "no packaged model"),
        (["upscale", "a.png", "-o", "out", "--device", "tpu"], "device tpu"),
        (["upscale", "a.png", "-o", "out.xyz"], ".xyz is not a format sr3 writes"),
        (["upscale", "a.png", "-o", "out", "--tile", "60"], "needs windows of at least 68 pixels"),
        (["upscale", "a.png", "-o", "out", "--grid", "square"], "sampling.grid"),
        (["upscale", "a.png", "b/a.png", "-o", "out"], "would both become"),
        (["train", "no-such-preset", "--data", ".", "--out", "run"], "no preset has this name"),
        (["train", "tiny-x4", "--data", "nowhere", "--out", "run"], "no such file or folder"),
        (["train", "tiny-x4", "--data", ".", "--out", "run", "--max-time", "soon"], "25m"),
        (["inspect", "nothing"], "no packaged model"),
        (["dance"], "No such command"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_code_2(arguments, complaint, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "upscale" and "--model" not in arguments:
        arguments = [*arguments, "--model", model]
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert error.startswith("sr3: ")


def test_a_numbered_sample_never_replaces_an_input(model, photos, capsys):
    source = photos / "colour.png"
    source.rename(photos / "colour-1.png")
    assert upscale(model, photos / "colour-1.png", "-o", photos / "colour.png", "--samples", 2, "--overwrite") == 2
    assert "would replace an input" in capsys.readouterr().err


def test_an_input_is_never_replaced(model, photos, capsys):
    before = (photos / "colour.png").read_bytes()
    assert upscale(model, photos / "colour.png", "-o", photos, "--overwrite") == 2
    assert "would replace an input" in capsys.readouterr().err
    assert (photos / "colour.png").read_bytes() == before


@pytest.mark.training
def test_training_from_a_folder_gives_a_model_that_upscales(photos, tmp_path, capsys):
    folder = write_pictures(tmp_path / "learn", ending=" é.png")
    arguments = ["train", "tiny-x4", "--data", str(folder), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert run([*arguments, "--set", "training.steps=4", "--set", "training.batch=2", "--set", "sampling.steps=2"]) == 0
    assert "step 4: psnr" in capsys.readouterr().out
    assert upscale(str(tmp_path / "run"), photos / "colour.png", "-o", tmp_path / "out") == 0
    assert run(["inspect", str(tmp_path / "run"), "--json"]) == 0
    described = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (described["step"], described["config"]["training"]["batch"]) == (4, 2)


@pytest.mark.training
def test_ctrl_c_saves_a_training_run(tmp_path):
    folder = write_pictures(tmp_path / "learn")
    changes = ("training.steps=1000000", "training.validate_every=1000000", "training.save_every=2")
    settings = [part for change in changes for part in ("--set", change)]
    process = start("train", "tiny-x4", "--data", folder, "--out", tmp_path / "run", *settings)
    while "step 2: saved" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped and saved" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_ctrl_c_leaves_nothing_half_written(model, tmp_path):
    Image.fromarray(smooth(64, 64)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "sr3", "upscale", str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--model", model, "--steps", "4000"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not (tmp_path / "out").exists():  # made just before the work begins
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_help_answers_without_loading_torch():
    code = (
        "import sys; from sr3.cli.app import run\n"
        "try: run(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_upscaling_does_not_load_what_only_compiling_needs():
    """torch's compiler and its shared tensors take a second or two to load."""
    code = (
        "import sys, sr3.cli.upscale, sr3.sampling.upscaler, sr3.upscaling.jobs\n"
        "sys.exit(' '.join({'torch._dynamo', 'torch._inductor', 'torch.distributed.tensor'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert finished.stderr == "\n"


def test_models_are_listed_as_one_json_object(capsys):
    assert run(["models", "--json"]) == 0
    assert {"packaged", "presets"} == set(json.loads(capsys.readouterr().out))


def test_what_the_output_cannot_hold_is_said_before_the_work(model, photos, tmp_path, capsys, monkeypatch):
    def no_work(*_, **__):
        raise AssertionError("sampling began")

    monkeypatch.setattr("sr3.sampling.upscaler.Upscaler.previews", no_work)
    assert upscale(model, photos / "clear.webp", "-o", tmp_path / "flat.jpg") == 2
    assert "transparency" in capsys.readouterr().err
    (tmp_path / "file").write_text("in the way")
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "file") == 2
    assert "cannot be created as a folder" in capsys.readouterr().err


def test_only_missing_samples_are_drawn(model, photos, tmp_path):
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "out", "--samples", 3) == 0
    first, second, third = sorted((tmp_path / "out").iterdir())
    kept = second.read_bytes()
    second.unlink()
    first.write_bytes(b"mine")
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "out", "--samples", 3) == 0
    assert first.read_bytes() == b"mine"
    assert second.read_bytes() == kept
    assert third.exists()


def test_memory_that_runs_out_fails_one_picture(model, photos, tmp_path, capsys, monkeypatch):
    from sr3.sampling.upscaler import Upscaler

    looks = Upscaler.previews

    def starved(self, low_res, **options):
        if low_res.shape[-1] == 24:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return looks(self, low_res, **options)

    monkeypatch.setattr(Upscaler, "previews", starved)
    assert upscale(model, photos, "-o", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clear.webp", "grey.jpg"]
    assert "colour.png: the memory ran out" in capsys.readouterr().err


def test_formats_that_are_only_read_become_png(model, tmp_path):
    Image.fromarray(smooth(8, 8)).save(tmp_path / "a.gif")
    Image.fromarray(smooth(8, 8)).save(tmp_path / "b", "JPEG")
    assert upscale(model, tmp_path / "a.gif", tmp_path / "b", "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.gif.png", "b.png"]


def test_without_a_verb_the_help_is_shown(capsys):
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_a_name_that_no_file_can_have_is_one_line(model, tmp_path, capsys):
    assert upscale(model, "a" * 5000 + ".png", "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("sr3: ")


def test_a_warning_is_one_line_with_the_files_name(model, tmp_path, capsys, recwarn):
    frames = [Image.fromarray(smooth(8, 8, seed=k)) for k in range(2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert upscale(model, tmp_path / "moving.gif", "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err + "".join(str(warning.message) for warning in recwarn)
    assert "moving.gif: holds several images, only the first is read" in said


def test_pictures_are_generated_through_a_chain(tmp_path, capsys):
    first = write_random_model(tmp_path / "first.safetensors", settings=GENERATOR)
    second = write_random_model(tmp_path / "second.safetensors")
    command = ["generate", f"{first},{second}", "-n", "3", "-o", str(tmp_path / "out"), "--steps", "3,2"]
    options = ["--device", "cpu", "--dtype", "float32", "--batch", "2"]
    assert run([*command, *options]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    with Image.open(tmp_path / "out" / "00001.png") as image:
        assert (image.size, image.mode) == ((64, 64), "RGB")
    assert capsys.readouterr().out.count("64x64") == 3
    assert run(["generate", str(first), "-o", str(tmp_path / "o"), "--steps", "many"]) == 2
    assert "give one number per model" in capsys.readouterr().err


def test_a_searched_schedule_is_used_by_upscale(model, photos, tmp_path, capsys):
    data = tmp_path / "held-out"
    data.mkdir()
    for seed in range(2):
        Image.fromarray(smooth(32, 32, seed=seed)).save(data / f"{seed}.png")
    options = ["--budget", "6", "--images", "2", "--side", "32", "--device", "cpu"]
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "before.png") == 0
    assert run(["search-schedule", model, "--data", str(data), "--steps", "2", *options]) == 0
    assert "2 steps of ddim, 6 grids tried; with other noise gradient energy score x1000" in capsys.readouterr().out
    assert run(["inspect", model, "--json"]) == 0
    searched = json.loads(capsys.readouterr().out)["config"]["sampling"]["searched"]
    assert [(grid["steps"], len(grid["gammas"])) for grid in searched] == [(2, 3)]
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "after.png") == 0
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "plain.png", "--grid", "cosine") == 0
    before, after, plain = ((tmp_path / f"{name}.png").read_bytes() for name in ("before", "after", "plain"))
    assert before == plain
    assert (before == after) == (searched[0]["score"] == searched[0]["before"])


def test_a_model_that_learnt_from_given_inputs_is_searched_and_distilled_with_them(tmp_path, capsys):
    high, low = tmp_path / "high", tmp_path / "low"
    for folder, side in ((high, 64), (low, 16)):
        folder.mkdir()
        for seed in range(4):
            Image.fromarray(smooth(64, 64, seed=seed)).resize((side, side)).save(folder / f"{seed}.png")
    settings = ["data.degradation=paired", "sampling.sampler=ddim"]
    paired = str(write_random_model(tmp_path / "paired.safetensors", settings=settings))
    plain = str(write_random_model(tmp_path / "plain.safetensors", settings=settings[1:]))
    device = ["--device", "cpu"]
    search = ["--data", str(high), "--steps", "2", "--budget", "2", "--images", "2", "--side", "32", *device]
    small = ("training.steps=2", "training.batch=2", "training.validation_images=1", "data.crop=32")
    distil = ["--data", str(high), "--out", str(tmp_path / "run"), *device]
    distil += [part for setting in small for part in ("--set", setting)]
    given = ["--low-res", str(low)]

    assert run(["search-schedule", paired, *search]) == 2
    assert run(["distill", paired, *distil]) == 2
    assert capsys.readouterr().err.count("give a folder of them by --low-res") >= 2
    assert run(["search-schedule", plain, *search, *given]) == 2
    assert "plain was trained on inputs made by bicubic; leave --low-res out" in capsys.readouterr().err
    assert run(["distill", paired, *distil, *given, "--set", "data.degradation=area"]) == 2
    assert "--low-res gives the low-resolution images" in capsys.readouterr().err

    assert run(["search-schedule", paired, *search, *given]) == 0
    assert run(["distill", paired, *distil, *given]) == 0


def test_a_preset_is_inspected_before_it_is_trained(capsys):
    assert run(["inspect", "faces-16-128", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["parameters"] == pytest.approx(550e6, rel=0.04)
    assert summary["config"]["network"]["dropout"] == 0.2
    assert run(["inspect", "tiny-x4-regression", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["objective"]["kind"] == "regression"


def test_a_regression_model_upscales_in_its_one_call(tmp_path, photos, capsys):
    settings = ["denoiser.prediction=y0", "objective.kind=regression", "sampling.sampler=regression"]
    model = write_random_model(tmp_path / "twin.safetensors", settings=[*settings, "sampling.steps=1"])
    arguments = ["upscale", str(photos / "colour.png"), "--model", str(model), "--device", "cpu"]
    assert run([*arguments, "-o", str(tmp_path / "one.png")]) == 0
    assert run([*arguments, "-o", str(tmp_path / "two.png"), "--seed", "9"]) == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    capsys.readouterr()
    assert run([*arguments, "-o", str(tmp_path / "three.png"), "--steps", "8"]) == 2
    assert "predicts in 1 step, not 8" in capsys.readouterr().err


def test_a_foreign_checkpoint_becomes_a_model_that_upscales(photos, tmp_path, capsys):
    layout = unofficial.Layout(8, (1, 2), 1, (16,), 32, 4)
    unofficial.write_checkpoint(tmp_path / "I7_E1_gen.pth", layout)
    model = tmp_path / "theirs.safetensors"
    convert = ["convert", str(tmp_path / "I7_E1_gen.pth"), str(model), "--scale", "4", "--groups", "4"]
    assert run(convert) == 0
    assert "width 8, multipliers 1,2, 1 block per level" in capsys.readouterr().out
    assert upscale(model, photos / "colour.png", "-o", tmp_path / "big.png") == 0
    with Image.open(tmp_path / "big.png") as image:
        assert image.size == (96, 80)
    assert run(convert) == 2
    assert "theirs.safetensors: exists" in capsys.readouterr().err
    assert run([*convert, "--overwrite", "--set", "sampling.steps=3"]) == 0
    assert run(["convert", str(model), str(tmp_path / "a.pth")]) == 2
    assert "needs the suffix .safetensors" in capsys.readouterr().err


def test_a_model_becomes_onnx(model, tmp_path, capsys):
    assert run(["export", model, str(tmp_path / "m.onnx")]) == 0
    out = capsys.readouterr().out
    assert "differs from torch by at most" in out
    assert "inputs x, y_t, gamma" in out
    assert run(["export", model, str(tmp_path / "m.onnx")]) == 2
    assert run(["export", model, str(tmp_path / "m.pb")]) == 2
    assert "needs the suffix .onnx" in capsys.readouterr().err
