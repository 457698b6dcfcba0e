"""The manifest of upscaled files: what it says, and what a run that resumes does by it."""

import hashlib
import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import smooth, write_refining_model
from sr3.errors import ConfigError, ImageError
from sr3.runtime.shares import parse_share
from sr3.sampling.plan import plan_for
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.drawing import Request
from sr3.upscaling.jobs import Done, Failed, Skipped, upscale_files
from sr3.upscaling.manifest import Manifest
from sr3.upscaling.naming import ONE_SAMPLE, Naming, plan_jobs

pytestmark = pytest.mark.slow

ONE_STEP = ("sampling.start=mean", "sampling.gamma_first=0.5", "sampling.steps=1")


@pytest.fixture(scope="module")
def tiny_upscaler(tmp_path_factory):
    return open_upscaler(str(write_refining_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", *ONE_STEP)))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    for k in range(3):
        Image.fromarray(smooth(8, 12, seed=k)).save(place / f"{k}.png")
    (place / "3.png").write_bytes(b"no image")
    return place


def run(upscaler, folder, manifest, *, seed=0, weights="1", **changes):
    """Upscale a folder with a manifest, and name what happened to each file."""
    jobs = plan_jobs([folder], folder.parent / "out", outputs=ONE_SAMPLE, naming=Naming(scale=4))
    request = Request(plan_for(upscaler.info), seed, **changes)
    made_by = {"model": upscaler.info.name, "model_sha256": weights, "seed": seed, "settings": request.described()}
    kept = Manifest(manifest, made_by)
    events = upscale_files(upscaler, jobs, request, kept)
    kinds = {Done: "done", Failed: "failed", Skipped: "skipped"}
    return {event.job.source.stem: kinds[type(event)] for event in events if type(event) in kinds}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_what_was_done_with_a_file(tiny_upscaler, folder, tmp_path):
    manifest = tmp_path / "jobs.jsonl"
    run(tiny_upscaler, folder, manifest, seed=7)
    first, *_, last = lines(manifest)
    assert first["input"] == str(folder / "0.png")
    assert first["outputs"] == [first["target"]] == [str(tmp_path / "out" / "0.png")]
    assert first["sha256"] == hashlib.sha256((folder / "0.png").read_bytes()).hexdigest()
    assert (first["model"], first["seed"], first["error"]) == (tiny_upscaler.info.name, 7, None)
    assert (first["size_in"], first["size_out"]) == ([12, 8], [48, 32])
    assert first["settings"]["sampling"]["levels"][-1] == 1
    assert first["seconds"] >= 0
    assert last["error"].startswith(str(folder / "3.png"))
    assert last["outputs"] == []


def test_a_run_that_resumes_skips_what_is_done_and_tries_again_what_failed(tiny_upscaler, folder, tmp_path):
    manifest = tmp_path / "jobs.jsonl"
    assert run(tiny_upscaler, folder, manifest) == {"0": "done", "1": "done", "2": "done", "3": "failed"}
    Image.fromarray(smooth(8, 8)).save(folder / "3.png")
    assert run(tiny_upscaler, folder, manifest) == {"0": "skipped", "1": "skipped", "2": "skipped", "3": "done"}


def test_what_was_made_from_another_input_or_by_other_settings_is_made_anew(tiny_upscaler, folder, tmp_path):
    manifest = tmp_path / "jobs.jsonl"
    run(tiny_upscaler, folder, manifest)
    Image.fromarray(smooth(8, 12, seed=9)).save(folder / "1.png")
    before = (tmp_path / "out" / "1.png").read_bytes()
    assert run(tiny_upscaler, folder, manifest) == {"0": "skipped", "1": "done", "2": "skipped", "3": "failed"}
    assert (tmp_path / "out" / "1.png").read_bytes() != before
    assert run(tiny_upscaler, folder, manifest, seed=1)["0"] == "done"
    assert run(tiny_upscaler, folder, manifest, seed=1, quality=80)["0"] == "done"
    assert run(tiny_upscaler, folder, manifest, seed=1, quality=80, weights="2")["0"] == "done"
    assert run(tiny_upscaler, folder, manifest, seed=1, quality=80, weights="2")["0"] == "skipped"


def test_a_result_is_made_anew_after_a_run_that_failed(tiny_upscaler, folder, tmp_path):
    """Its input was damaged, then replaced by another image; or it was made with another seed, then damaged."""
    manifest = tmp_path / "jobs.jsonl"
    run(tiny_upscaler, folder, manifest)
    for seed in (0, 1):
        (folder / "1.png").write_bytes(b"damaged")
        assert run(tiny_upscaler, folder, manifest, seed=seed)["1"] == "failed"
        Image.fromarray(smooth(9, 7, seed=seed)).save(folder / "1.png")
        assert run(tiny_upscaler, folder, manifest)["1"] == "done"
        with Image.open(tmp_path / "out" / "1.png") as image:
            assert image.size == (28, 36)


def test_the_same_file_by_another_path_is_the_same(tiny_upscaler, folder, tmp_path, monkeypatch):
    manifest = tmp_path / "jobs.jsonl"
    monkeypatch.chdir(tmp_path)
    assert run(tiny_upscaler, folder.relative_to(tmp_path), manifest)["0"] == "done"
    Image.fromarray(smooth(8, 12, seed=9)).save(folder / "0.png")
    monkeypatch.chdir(folder)
    assert run(tiny_upscaler, folder, manifest)["0"] == "done", "the input has changed"
    assert run(tiny_upscaler, folder, manifest)["0"] == "skipped"


@pytest.mark.parametrize("name", [b"a\xff.png", "a\u2028b.png".encode(), "a\x85b.png".encode(), "\u00e4.png".encode()])
def test_any_name_of_a_file_can_be_recorded(tiny_upscaler, folder, tmp_path, name):
    try:
        (folder / "0.png").rename(folder / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes no such name")
    manifest = tmp_path / "jobs.jsonl"
    found = run(tiny_upscaler, folder, manifest)
    assert sorted(found.values()) == ["done", "done", "done", "failed"]
    assert sorted(run(tiny_upscaler, folder, manifest).values()) == ["failed", "skipped", "skipped", "skipped"]
    assert manifest.read_bytes().isascii()


def test_a_result_that_the_manifest_does_not_know_is_not_touched(tiny_upscaler, folder, tmp_path):
    (tmp_path / "out").mkdir()
    own = tmp_path / "out" / "0.png"
    own.write_bytes(b"mine")
    assert run(tiny_upscaler, folder, tmp_path / "jobs.jsonl")["0"] == "skipped"
    assert own.read_bytes() == b"mine"


def test_a_line_cut_short_by_a_kill_is_passed_over(tiny_upscaler, folder, tmp_path):
    manifest = tmp_path / "jobs.jsonl"
    run(tiny_upscaler, folder, manifest)
    whole = manifest.read_text()
    manifest.write_text(whole[: whole.index("\n", whole.index("\n") + 1) + 40])
    assert run(tiny_upscaler, folder, manifest) == {"0": "skipped", "1": "skipped", "2": "skipped", "3": "failed"}
    assert json.loads(manifest.read_text().splitlines()[-1])["input"].endswith("3.png")
    assert run(tiny_upscaler, folder, manifest)["0"] == "skipped", "now it is in the middle"
    manifest.write_text('{"inp')
    assert run(tiny_upscaler, folder, manifest)["0"] == "skipped"


def test_a_file_that_is_no_manifest_is_left_alone(tiny_upscaler, folder, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("my notes\nand more\n")
    with pytest.raises(ImageError, match=r"notes\.txt: line 1 is not a manifest record .*; name another file"):
        run(tiny_upscaler, folder, other)
    assert other.read_text() == "my notes\nand more\n"


def test_a_tree_of_folders_keeps_its_shape(tmp_path):
    for name in ("a.png", "x/b.png", "x/y/c.png", "x/.hidden/d.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "elsewhere" / "e.png")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "x" / "back").symlink_to(tmp_path / "in")  # a circle
    out = tmp_path / "in" / "large"
    (out / "x").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(out / "x" / "b.png")  # a result of an earlier run
    jobs = plan_jobs([tmp_path / "in"], out, outputs=ONE_SAMPLE, naming=Naming(scale=4), recursive=True)
    targets = [str(job.target.relative_to(out)) for job in jobs]
    assert targets == ["a.png", "linked/e.png", "x/b.png", "x/y/c.png"]


def test_a_tree_without_pictures_is_refused(tmp_path):
    with pytest.raises(ImageError, match="neither it nor its subfolders hold an image"):
        plan_jobs([tmp_path], tmp_path / "out", outputs=ONE_SAMPLE, naming=Naming(), recursive=True)


def test_a_tree_whose_images_are_the_results_says_so(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"all its images are in .*, where the results go; give another folder"):
        plan_jobs([tmp_path], tmp_path, outputs=ONE_SAMPLE, naming=Naming(), recursive=True)


def test_a_folder_that_cannot_be_listed_does_not_stop_the_others(tmp_path, monkeypatch):
    for name in ("a.png", "x/b.png", "y/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "in" / name)
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("x"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.warns(UserWarning, match=r"in/x: cannot be read \(Permission denied\), so it is left out"):
        jobs = plan_jobs([tmp_path / "in"], tmp_path / "out", outputs=ONE_SAMPLE, naming=Naming(), recursive=True)
    assert [job.source.name for job in jobs] == ["a.png", "c.png"]


def test_a_path_that_may_not_be_looked_at_is_a_job_that_fails(tmp_path, monkeypatch):
    seen = Path.is_dir

    def refusing(path):
        if path.name == "hidden.png":
            raise PermissionError(13, "Permission denied", str(path))
        return seen(path)

    monkeypatch.setattr(Path, "is_dir", refusing)
    jobs = plan_jobs(
        [tmp_path / "hidden.png", tmp_path / "b.png"], tmp_path, outputs=ONE_SAMPLE, naming=Naming("{stem}-x")
    )
    assert len(jobs) == 2


def test_a_broken_link_in_a_folder_is_a_failure_and_not_passed_over(tiny_upscaler, folder, tmp_path):
    (folder / "4.png").symlink_to(tmp_path / "nowhere.png")
    assert run(tiny_upscaler, folder, tmp_path / "jobs.jsonl")["4"] == "failed"
    assert "does not exist" in lines(tmp_path / "jobs.jsonl")[-1]["error"]


def test_shards_are_disjoint_and_cover_everything():
    files = list(range(11))
    parts = [list(parse_share(f"{k}/3").of(files)) for k in (1, 2, 3)]
    assert sorted(chain.from_iterable(parts)) == files


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/2", "1/0"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="give I/N, such as 1/8 to 8/8"):
        parse_share(text)
