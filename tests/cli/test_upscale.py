"""`sr3 upscale` as a product: kinds of images, names, samples, what they say together, and many processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.images.resize import downsample
from sr3.runtime import free_memory
from sr3.sampling.plan import plan_for
from sr3.sampling.upscaler import Upscaler, open_upscaler
from sr3.upscaling import memory
from sr3.upscaling.drawing import Request
from sr3.upscaling.jobs import Done, upscale_files
from sr3.upscaling.naming import Job, Outputs
from started import start

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path):
    return str(write_random_model(tmp_path / "model.safetensors"))


@pytest.fixture
def photo(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray((smooth(20, 24) * 0.8 + 20).astype(np.uint8)).save(tmp_path / "in" / "photo.png")
    return tmp_path / "in" / "photo.png"


def upscale(model, *arguments) -> int:
    options = ["--model", model, "--steps", "2", "--device", "cpu", "--dtype", "float32"]
    return run(["upscale", *options, *map(str, arguments)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def bits(path):
    return np.asarray(Image.open(path)).astype(int)


def test_uncertainty_is_written_beside_the_samples(model, photo, tmp_path, capsys):
    out = tmp_path / "out"
    assert upscale(model, photo, "-o", out, "--samples", 3, "--uncertainty") == 0
    extras = ["photo-apart-1.png", "photo-apart-2.png", "photo-deviation.png", "photo-mean.png"]
    assert names(out) == sorted([*extras, *(f"photo-{k}.png" for k in (1, 2, 3))])
    samples = np.stack([bits(out / f"photo-{k}.png") for k in (1, 2, 3)])
    assert np.abs(bits(out / "photo-mean.png") - samples.mean(0)).max() <= 1
    differences = {(a, b): ((samples[a] - samples[b]) ** 2).mean() for a in range(3) for b in range(a + 1, 3)}
    first, second = max(differences, key=differences.__getitem__)
    for place, k in (("1", first), ("2", second)):
        assert (out / f"photo-apart-{place}.png").read_bytes() == (out / f"photo-{k + 1}.png").read_bytes()
    assert "photo-deviation.png" in capsys.readouterr().out
    assert upscale(model, photo, "-o", out, "--samples", 3, "--uncertainty") == 0
    assert "skipped" in capsys.readouterr().out


def test_one_sample_has_no_uncertainty(model, photo, tmp_path, capsys):
    assert upscale(model, photo, "-o", tmp_path / "out", "--samples", 1, "--uncertainty") == 2
    assert "--samples 2 or more" in capsys.readouterr().err


def test_a_sample_has_the_same_bytes_whatever_is_drawn_with_it(model, photo, tmp_path):
    upscaler = open_upscaler(model, device="cpu", dtype="float32")
    sampling, results = plan_for(upscaler.info, steps=2, sampler="ancestral"), []
    for at_once in (1, 2, 5):
        target = tmp_path / str(at_once) / "a.png"
        outputs = Outputs(samples=5, uncertainty=True, process=True)
        request = Request(sampling, outputs=outputs, at_once=at_once)
        assert any(isinstance(event, Done) for event in upscale_files(upscaler, [Job(photo, target)], request))
        results.append([path.read_bytes() for path in sorted(target.parent.iterdir())])
    assert len(results[0]) == 11
    assert results[0] == results[1] == results[2]


def test_samples_are_drawn_one_after_the_other_unless_more_are_asked_for(model, photo, tmp_path, monkeypatch):
    upscaler = open_upscaler(model, device="cpu", dtype="float32")
    sampling, batches, previews = plan_for(upscaler.info, steps=2), [], Upscaler.previews
    monkeypatch.setattr(
        Upscaler, "previews", lambda self, x, **options: batches.append(len(x)) or previews(self, x, **options)
    )
    monkeypatch.setattr("sr3.upscaling.drawing.samples_at_once", lambda *_: 2)  # as a GPU with room for two
    for number, asked in enumerate(({}, {"at_once": "auto"})):
        request = Request(sampling, outputs=Outputs(samples=3), **asked)
        list(upscale_files(upscaler, [Job(photo, tmp_path / str(number) / "a.png")], request))
    assert batches == [1, 1, 1, 2, 1]


def test_the_process_is_written_as_a_strip_and_an_animation(model, photo, tmp_path):
    assert upscale(model, photo, "-o", tmp_path / "out", "--save-process") == 0
    assert names(tmp_path / "out") == ["photo-process.png", "photo-process.webp", "photo.png"]
    with Image.open(tmp_path / "out" / "photo-process.webp") as image:
        assert (image.n_frames, image.size) == (3, (96, 80))
    strip, result = bits(tmp_path / "out" / "photo-process.png"), bits(tmp_path / "out" / "photo.png")
    assert np.array_equal(strip[:80, -96:], result)
    assert np.diff(strip[:80, :96], axis=1).std() > 1.4 * np.diff(result, axis=1).std()  # it begins with noise


def test_format_name_and_quality_are_as_asked(model, photo, tmp_path):
    for quality in (30, 95):
        options = ["--format", "jpg", "--name", "{stem}-x{scale}", "--quality", quality]
        assert upscale(model, photo, "-o", tmp_path / str(quality), *options) == 0
        assert names(tmp_path / str(quality)) == ["photo-x4.jpg"]
    small, large = ((tmp_path / quality / "photo-x4.jpg").stat().st_size for quality in ("30", "95"))
    assert small < large / 1.5


def test_16_bit_colour_goes_through_with_more_than_8_bits(model, tmp_path):
    ramp = np.linspace(20000, 22000, 24).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.broadcast_to(ramp[None, :, None], (20, 24, 3)).copy(), photometric="rgb")
    for suffix in ("tif", "png"):
        assert upscale(model, tmp_path / "a.tif", "-o", tmp_path / "out", "--format", suffix) == 0
    result = tifffile.imread(tmp_path / "out" / "a.tif")
    assert (result.dtype, result.shape) == (np.uint16, (80, 96, 3))
    assert len(np.unique(result % 257)) > 200
    small = downsample(torch.from_numpy(result.astype(np.float64)).permute(2, 0, 1), 4)
    assert float((small - torch.from_numpy(ramp.astype(np.float64))).abs().max()) < 257
    assert (tmp_path / "out" / "a.png").read_bytes()[24] == 16  # bits per channel


def test_cmyk_stays_cmyk_and_shrinks_to_its_own_inks(model, tmp_path):
    inks = np.dstack([smooth(20, 24), smooth(20, 24, seed=1)[..., :1]]) * 0.6 + 50
    Image.fromarray(inks.astype(np.uint8), "CMYK").save(tmp_path / "a.tif")
    assert upscale(model, tmp_path / "a.tif", "-o", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.tif") as image:
        assert (image.mode, image.size) == ("CMYK", (96, 80))
        large = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).double()
    difference = downsample(large, 4) - torch.from_numpy(inks.astype(np.uint8)).permute(2, 0, 1)
    assert float(difference.abs().max()) < 2


def test_what_would_take_too_long_is_refused_before_it_starts(model, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sr3.upscaling.jobs.predict_seconds", lambda *_: 7200.0)
    assert upscale(model, photo, "-o", tmp_path / "out", "--max-time", "1h") == 2
    assert "would take about 2 h 00 min here, more than the --max-time of 1 h 00 min" in capsys.readouterr().err
    assert upscale(model, photo, "-o", tmp_path / "out", "--max-time", "3h") == 0


def test_what_the_disk_cannot_hold_is_refused_before_it_starts(model, photo, tmp_path, monkeypatch, capsys):
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _: usage)
    assert upscale(model, photo, "-o", tmp_path / "out") == 2
    assert "its results may need" in capsys.readouterr().err
    monkeypatch.setattr(usage, "free", 24_000)  # 96 x 80 x 3 bytes are 23,040
    assert upscale(model, photo, "-o", tmp_path / "out") == 0


def test_when_the_memory_runs_out_the_windows_are_halved(model, photo, tmp_path, monkeypatch, capsys):
    previews, tried = Upscaler.previews, []

    def starved(self, low_res, **options):
        tried.append(self.tile)
        if self.tile > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return previews(self, low_res, **options)

    monkeypatch.setattr(Upscaler, "previews", starved)
    Image.fromarray(smooth(48, 48)).save(photo)
    assert upscale(model, photo, "-o", tmp_path / "out", "--tile", 160, "--steps", 1) == 0
    assert tried == [160, 80]
    assert "the memory ran out; trying windows of 80 pixels" in capsys.readouterr().err


def test_processes_share_a_folder_and_a_killed_ones_share_is_picked_up(model, photo, tmp_path, monkeypatch):
    for k in range(4):
        Image.fromarray(smooth(8, 8, seed=k)).save(photo.parent / f"{k}.png")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert upscale(model, photo.parent, "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["0.png", "2.png", "photo.png"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    monkeypatch.setenv("WORLD_SIZE", "1")
    (tmp_path / "out" / f".sr3-{16 * '0'}.png").touch()  # what the killed one may leave
    assert upscale(model, photo.parent, "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["0.png", "1.png", "2.png", "3.png", "photo.png"]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def launch(said, *arguments):
    """Begin `sr3 upscale` in two processes under torch's launcher; what they say is added to a file."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "sr3"]
    options = ["--steps", "8", "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with said.open("ab") as log:
        command = [sys.executable, *launcher, "upscale", *map(str, arguments), *options]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def start_two(said, *arguments):
    """Begin two processes that know of each other as under the launcher."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    known = {**os.environ, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    options = ("--steps", "8", "--device", "cpu", "--dtype", "float32")
    ranks = [{"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    return [start("upscale", *arguments, *options, files=[said, said], environment=known | rank) for rank in ranks]


def wait_for(found, launcher, said):
    """Wait until there is something, and return it."""
    end = time.monotonic() + 120
    while not (it := found()):
        assert launcher.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.001)
    return it


def worker(launcher, rank, said):
    """Find a process that a launcher starts."""
    psutil = pytest.importorskip("psutil")

    def find():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            children = psutil.Process(launcher.pid).children(recursive=True)
            return next((child for child in children if child.environ().get("RANK") == str(rank)), None)

    return wait_for(find, launcher, said)


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is another there")
def test_two_processes_of_which_one_is_killed_make_in_two_runs_what_one_process_makes(model, photo, tmp_path):
    folder, out, said = photo.parent, tmp_path / "out", tmp_path / "said"
    photo.unlink()
    for k in range(10):
        Image.fromarray(smooth(12, 16, seed=k)).save(folder / f"{k}.png")
    assert upscale(model, folder, "-o", tmp_path / "one", "--steps", 8) == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert len(expected) == len(set(expected.values())) == 10

    first = launch(said, folder, "-o", out, "--model", model)
    try:
        victim = worker(first, 1, said)
        wait_for((out / "1.png").exists, first, said)  # its first
        victim.send_signal(signal.SIGKILL)
        assert first.wait(timeout=60) == 1
    finally:
        first.kill()
    (out / f".sr3-{16 * 'a'}.png").write_bytes(expected["9.png"][:50])  # at the latest now there is half a file
    done = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    assert {"1.png"} <= {path.name for path in done} < expected.keys() - {"9.png"}
    assert all(path.read_bytes() == expected[path.name] for path in done)

    second = start_two(said, folder, "-o", out, "--model", model)
    assert [process.wait(timeout=120) for process in second] == [0, 0], said.read_text()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected
    assert {path: path.stat().st_mtime_ns for path in done} == done
    made = [line for line in said.read_text().splitlines() if " -> " in line]
    assert len(made) <= 10 + 2  # a result that was not told of before the end, at most one of each process


def test_detail_outside_0_to_1_is_refused_and_0_is_smoother_than_1(model, photo, tmp_path, capsys):
    assert upscale(model, photo, "-o", tmp_path / "out", "--detail", 1.5) == 2
    assert "--detail" in capsys.readouterr().err
    for detail in (0, 0.5, 1):
        assert upscale(model, photo, "-o", tmp_path / f"{detail}.png", "--detail", detail) == 0
    assert upscale(model, photo, "-o", tmp_path / "plain.png") == 0
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert len({(tmp_path / f"{detail}.png").read_bytes() for detail in (0, 0.5, 1)}) == 3


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "npy"])
def test_transparency_that_is_opaque_everywhere_does_not_stand_in_the_way(model, photo, tmp_path, suffix):
    with Image.open(photo) as image:
        image.convert("RGBA").save(photo)
    assert upscale(model, photo, "-o", tmp_path / "out", "--format", suffix) == 0
    assert names(tmp_path / "out") == [f"photo.{suffix}"]


def test_what_an_array_cannot_tell_is_refused_before_the_work(model, photo, tmp_path, capsys, monkeypatch):
    def no_work(*_, **__):
        raise AssertionError("sampling began")

    monkeypatch.setattr(Upscaler, "previews", no_work)
    Image.fromarray(smooth(8, 8)).convert("CMYK").save(tmp_path / "inks.tif")
    with Image.open(photo) as image:
        image.putalpha(100)
        image.save(tmp_path / "clear.png")
    for name, complaint in (("inks.tif", "are inks"), ("clear.png", "are transparency")):
        assert upscale(model, tmp_path / name, "-o", tmp_path / "out", "--format", "npy") == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1


def test_floats_become_16_bits_where_a_picture_holds_them(model, tmp_path, capsys, recwarn):
    ramp = np.broadcast_to(np.linspace(0.3, 0.32, 24)[None, :, None], (20, 24, 3))
    np.save(tmp_path / "a.npy", ramp.astype(np.float32))
    for suffix, losses in (("png", 0), ("jpg", 1)):
        assert upscale(model, tmp_path / "a.npy", "-o", tmp_path / "out", "--format", suffix) == 0
        said = capsys.readouterr().err + "".join(str(warning.message) for warning in recwarn)
        assert said.count("holds 8 bits per channel, so the 32 are rounded") == losses
    assert (tmp_path / "out" / "a.png").read_bytes()[24] == 16  # bits per channel


def test_a_tiff_of_floats_stays_one_and_keeps_its_resolution(model, tmp_path, capsys):
    floats = smooth(20, 24).astype(np.float32) / 255
    tifffile.imwrite(tmp_path / "a.tif", floats, photometric="rgb", resolution=(72, 72), resolutionunit="inch")
    np.save(tmp_path / "b.npy", floats)
    for name in ("a.tif", "b.npy"):
        assert upscale(model, tmp_path / name, "-o", tmp_path / "out") == 0
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert tiff.pages.first.photometric == 2
        assert tiff.pages.first.tags["XResolution"].value == (288, 1)
        assert np.array_equal(tiff.asarray(), np.load(tmp_path / "out" / "b.npy"))
    tifffile.imwrite(tmp_path / "bad.tif", floats * 2, photometric="rgb")
    capsys.readouterr()
    assert upscale(model, tmp_path / "bad.tif", "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "bad.tif: holds floats outside 0 to 1, or NaN; scale them to that range" in error
    assert error.count("\n") == 1


def test_the_detail_of_the_model_is_taken_where_none_is_asked_for(photo, tmp_path):
    model = str(write_random_model(tmp_path / "smooth.safetensors", settings=["sampling.detail=0.25"]))
    assert upscale(model, photo, "-o", tmp_path / "own.png") == 0
    for detail in (0.25, 1):
        assert upscale(model, photo, "-o", tmp_path / f"{detail}.png", "--detail", detail) == 0
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "0.25.png").read_bytes()
    assert (tmp_path / "own.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_an_array_whose_result_would_not_fit_is_refused_by_its_header(model, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "a.npy", np.zeros((20, 24, 6), np.uint8))
    needed = 80 * 96 * 2 * memory.BYTES_PER_PIXEL  # six bands are twice three
    monkeypatch.setattr("sr3.upscaling.jobs.read_bands", lambda _: pytest.fail("the pixels were read"))
    monkeypatch.setattr(free_memory, "free_memory", lambda: needed - 1)
    assert upscale(model, tmp_path / "a.npy", "-o", tmp_path / "out") == 2
    assert "a.npy: a result of 96x80 needs about" in capsys.readouterr().err


def test_memory_that_runs_out_in_the_trial_of_time_halves_the_windows_too(model, photo, tmp_path, monkeypatch, capsys):
    tried = []

    def starved(upscaler, *_):
        tried.append(upscaler.tile)
        if upscaler.tile > 100:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return 7200.0

    monkeypatch.setattr("sr3.upscaling.jobs.predict_seconds", starved)
    Image.fromarray(smooth(48, 48)).save(photo)
    assert upscale(model, photo, "-o", tmp_path / "out", "--tile", 160, "--max-time", "1h") == 2
    assert tried == [160, 80]
    error = capsys.readouterr().err
    assert "the memory ran out; trying windows of 80 pixels" in error
    assert "would take about 2 h" in error


def test_the_way_of_many_steps_is_shown_in_as_many_frames_as_an_animation_has(model, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("sr3.upscaling.drawing.MOST_FRAMES", 4)
    looked = []
    monkeypatch.setattr(Upscaler, "_seen_state", lambda _, *states: looked.append(1) or states[1])
    options = ["--model", model, "--steps", "9", "--device", "cpu", "--dtype", "float32", "--save-process"]
    assert run(["upscale", str(photo), "-o", str(tmp_path / "out"), *options]) == 0
    assert len(looked) == 3  # the fourth is the result
    with Image.open(tmp_path / "out" / "photo-process.png") as image:
        assert image.width == 4 * 100 - 4
