"""The paper's preparation, on files laid out as the data sets are."""

import hashlib
import io
import json
import os
import signal
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import smooth
from sr3.cli.app import run
from sr3.data.layouts import read_layout
from sr3.data.opening import open_source
from sr3.data.recipes import prepare
from sr3.data.shards import Preparation, prepare_image
from sr3.data.sources import FolderSource
from sr3.errors import DataError
from started import FORKED


@dataclass(frozen=True)
class Deadly(FolderSource):
    """A folder in which reading one image kills the process."""

    def read(self, index: int) -> bytes:
        """Read, or die."""
        if self.paths[index].name == "00003.jpg":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index)


def test_names_are_looked_at_once_each_however_many_there_are(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for number in range(40):
        (tmp_path / "images" / f"{number:05d}.png").touch()
    hashed, plain = [], PurePath.__hash__
    monkeypatch.setattr(PurePath, "__hash__", lambda path: hashed.append(path) or plain(path))
    assert len(read_layout("ffhq", str(tmp_path)).items) == 40
    assert len(hashed) <= 4 * 40


def jpeg(path: Path, height: int, width: int, *, seed: int = 0, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth(height, width, seed=seed)).save(path, "JPEG", quality=95, **options)


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.fixture
def ffhq(tmp_path):
    root = tmp_path / "ffhq" / "images1024x1024"
    for number in range(5):
        jpeg(root / "00000" / f"{number:05d}.jpg", 64, 64, seed=number)
    (tmp_path / "ffhq" / "LICENSE.txt").write_text("CC")
    return tmp_path / "ffhq"


@pytest.fixture
def imagenet(tmp_path):
    root = tmp_path / "imagenet"
    for wnid in ("n02084071", "n01440764"):
        for number in range(3):
            jpeg(root / "train" / wnid / f"{wnid}_{number}.JPEG", 50 + number, 70, seed=number)
    Image.fromarray(smooth(48, 40)[..., 0].copy()).save(root / "train/n01440764/n01440764_9.JPEG", "JPEG")
    jpeg(root / "val" / "ILSVRC2012_val_00000001.JPEG", 60, 44)
    jpeg(root / "val" / "ILSVRC2012_val_00000002.JPEG", 60, 30)
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000001,n02084071 1 2 3 4\n"
        "ILSVRC2012_val_00000002,n01440764 1 2 3 4\n"
    )
    return root


def test_the_high_resolution_is_the_area_mean_of_the_central_square():
    image = torch.from_numpy(smooth(80, 121)).permute(2, 0, 1)
    high, low = prepare_image(image, Preparation("folder", 20, 4))
    square = image[:, :, 20:100].double().numpy()
    mean = square.reshape(3, 20, 4, 20, 4).mean(axis=(2, 4))
    assert np.abs(high.numpy() - mean).max() <= 0.5 + 1e-4
    expected = [
        Image.fromarray(plane.astype(np.float32)).resize((5, 5), Image.Resampling.BICUBIC) for plane in high.numpy()
    ]
    assert np.abs(low.numpy() - np.stack([np.asarray(plane) for plane in expected]).clip(0, 255)).max() <= 0.501


def test_a_ratio_that_is_no_whole_number_shares_pixels_between_cells():
    row = torch.tensor([0, 30, 60, 90, 120], dtype=torch.uint8).expand(3, 5, 5)
    high, _ = prepare_image(row, Preparation("folder", 2, 1))
    # Cells of 2.5 pixels: (0 + 30 + 60 / 2) / 2.5 and (60 / 2 + 90 + 120) / 2.5.
    assert high[0, 0].tolist() == [24, 96]


@pytest.mark.slow
def test_ffhq_becomes_training_shards_with_both_sizes_and_a_manifest(ffhq, tmp_path, capsys):
    jpeg(ffhq / "images1024x1024" / "00000" / "portrait.jpg", 64, 64)
    out = tmp_path / "out"
    assert (
        run(
            [
                "prepare",
                "ffhq",
                str(ffhq),
                str(out),
                "--size",
                "32",
                "--scale",
                "8",
                "--per-shard",
                "3",
                "--workers",
                "1",
            ]
        )
        == 0
    )
    assert sorted(path.name for path in out.glob("*/*.tar")) == ["train-00000.tar", "train-00001.tar"]
    found = members(out / "train" / "train-00000.tar") | members(out / "train" / "train-00001.tar")
    assert set(found) == {f"{k:05d}.{kind}" for k in range(5) for kind in ("png", "lr.png")}
    assert pixels(found["00003.png"]).shape == (32, 32, 3)
    assert pixels(found["00003.lr.png"]).shape == (4, 4, 3)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["images"] == {"train": 5}
    assert [shard["images"] for shard in manifest["shards"]] == [3, 2]
    for shard in manifest["shards"]:
        assert shard["sha256"] == hashlib.sha256((out / shard["name"]).read_bytes()).hexdigest()
    assert [reason for _, reason in manifest["dropped"]] == ["not a name of FFHQ: a number was expected"]
    assert "5 images, 1 left out, 0 failed" in capsys.readouterr().out
    source = open_source(str(out / "train"))
    assert len(source) == 5
    assert pixels(source.read(0)).shape == (32, 32, 3)


def test_celeba_hq_is_kept_for_evaluation_in_its_own_order(tmp_path):
    for number in (0, 1, 2, 10):
        jpeg(tmp_path / "CelebA-HQ-img" / f"{number}.jpg", 40, 40)
    list(prepare(read_layout("celeba-hq", str(tmp_path)), tmp_path / "out", Preparation("celeba-hq", 16, 8)))
    assert [name for name in members(tmp_path / "out" / "eval" / "eval-00000.tar") if not name.endswith(".lr.png")] == [
        "00000.png", "00001.png", "00010.png", "00002.png",
    ]  # fmt: skip


@pytest.mark.slow
def test_imagenet_keeps_splits_and_classes_and_drops_what_is_too_small(imagenet, tmp_path):
    with pytest.warns(UserWarning, match="2 classes, not 1000"):
        layout = read_layout("imagenet", str(imagenet))
    reports = list(prepare(layout, tmp_path / "out", Preparation("imagenet", 44, 4)))
    assert [(report.shard, report.written) for report in reports] == [("train-00000", 6), ("val-00000", 1)]
    train, val = members(tmp_path / "out/train/train-00000.tar"), members(tmp_path / "out/val/val-00000.tar")
    labels = {name: data for name, data in (train | val).items() if name.endswith(".cls")}
    assert {name[:9]: data for name, data in labels.items() if name.startswith("n")} == {
        "n01440764": b"0", "n02084071": b"1",
    }  # fmt: skip
    assert labels["ILSVRC2012_val_00000001.cls"] == b"1"
    assert [reason for _, reason in reports[0].dropped] == ["is 40x48, its shorter side is below 44"]
    assert [reason for _, reason in reports[1].dropped] == ["is 30x60, its shorter side is below 44"]
    source = open_source(str(tmp_path / "out" / "train"))
    assert sorted(source.label(k) for k in range(len(source))) == [0, 0, 0, 1, 1, 1]
    with pytest.raises(DataError, match="no images"):
        open_source(str(tmp_path / "out"))  # splits are not mixed


@pytest.mark.slow
def test_grey_images_of_imagenet_become_colour(imagenet, tmp_path):
    with pytest.warns(UserWarning, match="2 classes"):
        layout = read_layout("imagenet", str(imagenet))
    list(prepare(layout, tmp_path / "out", Preparation("imagenet", 30, 2)))
    grey = pixels(members(tmp_path / "out/train/train-00000.tar")["n01440764_9.png"])
    assert grey.shape == (30, 30, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_a_flat_val_without_its_table_is_refused(imagenet):
    (imagenet / "LOC_val_solution.csv").unlink()
    with pytest.raises(DataError, match=r"put LOC_val_solution\.csv into this folder"):
        read_layout("imagenet", str(imagenet))


def test_val_may_have_a_folder_a_class(imagenet):
    for path in (imagenet / "val").iterdir():
        path.unlink()
    jpeg(imagenet / "val" / "n02084071" / "ILSVRC2012_val_00000007.JPEG", 60, 60)
    with pytest.warns(UserWarning, match="2 classes"):
        layout = read_layout("imagenet", str(imagenet))
    assert [(item.key, item.label) for item in layout.items if item.split == "val"] == [("ILSVRC2012_val_00000007", 1)]


@pytest.mark.slow
def test_one_bad_file_loses_no_other_and_is_mended_by_the_same_command(ffhq, tmp_path, capsys):
    bad = ffhq / "images1024x1024" / "00000" / "00002.jpg"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:300])
    command = ["prepare", "ffhq", str(ffhq), str(tmp_path / "out"), "--size", "32", "--workers", "1"]
    assert run(command) == 1
    captured = capsys.readouterr()
    assert "00002.jpg: is damaged or cut short" in captured.err
    assert "4 images, 0 left out, 1 failed" in captured.out
    assert json.loads((tmp_path / "out/manifest.json").read_text())["failed"][0][0].endswith("00002.jpg")
    bad.write_bytes(whole)
    assert run(command) == 0
    assert "5 images, 0 left out, 0 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_a_stopped_preparation_makes_only_what_is_missing_and_ends_the_same(ffhq, tmp_path):
    how = Preparation("ffhq", 32, 8, per_shard=2)
    list(prepare(read_layout("ffhq", str(ffhq)), tmp_path / "whole", how))
    stopped = prepare(read_layout("ffhq", str(ffhq)), tmp_path / "parts", how)
    next(stopped)
    stopped.close()
    assert not (tmp_path / "parts" / "manifest.json").exists()
    reports = list(prepare(read_layout("ffhq", str(ffhq)), tmp_path / "parts", how))
    assert [report.was_there for report in reports] == [True, False, False]
    for name in ("train/train-00000.tar", "train/train-00001.tar", "train/train-00002.tar", "manifest.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_damaged_shard_and_a_changed_image_are_made_again(ffhq, tmp_path):
    how = Preparation("ffhq", 32, 8, per_shard=2)

    def again() -> list[bool]:
        return [
            r.was_there
            for r in sorted(prepare(read_layout("ffhq", str(ffhq)), tmp_path / "out", how), key=lambda r: r.shard)
        ]

    assert again() == [False] * 3
    assert again() == [True] * 3
    path = tmp_path / "out" / "train" / "train-00001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    assert again() == [True, False, True]
    jpeg(ffhq / "images1024x1024" / "00000" / "00000.jpg", 70, 70, seed=77)
    assert again().count(False) == 1


@pytest.mark.slow
def test_processes_make_the_same_bytes_as_one(ffhq, tmp_path, monkeypatch):
    monkeypatch.setattr("sr3.data.recipes.get_context", lambda _: FORKED)
    how = Preparation("ffhq", 32, 8, per_shard=2)
    for name, workers in (("one", 1), ("two", 2)):
        list(prepare(read_layout("ffhq", str(ffhq)), tmp_path / name, how, workers=workers))
    for path in (tmp_path / "one" / "train").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "two" / "train" / path.name).read_bytes()


def test_other_settings_and_other_folders_are_not_mixed(ffhq, tmp_path):
    layout = read_layout("ffhq", str(ffhq))
    list(prepare(layout, tmp_path / "out", Preparation("ffhq", 32, 8)))
    with pytest.raises(DataError, match="was prepared with other settings"):
        list(prepare(layout, tmp_path / "out", Preparation("ffhq", 16, 8)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="was not made by sr3 prepare"):
        list(prepare(layout, tmp_path / "mine", Preparation("ffhq", 32, 8)))
    with pytest.raises(DataError, match="32 is not a multiple of scale 5"):
        list(prepare(layout, tmp_path / "new", Preparation("ffhq", 32, 5)))


@pytest.mark.slow
def test_ones_own_folder_is_turned_upright_and_split_by_name(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    jpeg(tmp_path / "in" / "a b" / "é.jpg", 40, 60, exif=exif)
    for number in range(40):
        jpeg(tmp_path / "in" / f"{number}.jpg", 40, 40, seed=number)
    layout = read_layout("folder", str(tmp_path / "in"), hold_out=0.3)
    held = {item.key for item in layout.items if item.split == "eval"}
    assert 4 <= len(held) <= 20
    (tmp_path / "in" / "5.jpg").unlink()
    after = read_layout("folder", str(tmp_path / "in"), hold_out=0.3)
    assert {item.key for item in after.items if item.split == "eval"} == held - {"5"}
    list(prepare(layout, tmp_path / "out", Preparation("folder", 40, 4, upright=True)))
    everything = members(tmp_path / "out/train/train-00000.tar") | members(tmp_path / "out/eval/eval-00000.tar")
    with Image.open(tmp_path / "in" / "a b" / "é.jpg") as image:
        turned = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(pixels(everything["a b__é.png"]), turned[10:50])


@pytest.mark.slow
def test_shards_can_be_prepared_again_at_another_size(ffhq, tmp_path):
    list(prepare(read_layout("ffhq", str(ffhq)), tmp_path / "big", Preparation("ffhq", 32, 8)))
    layout = read_layout("folder", str(tmp_path / "big" / "train"))
    list(prepare(layout, tmp_path / "small", Preparation("folder", 16, 1)))
    assert set(members(tmp_path / "small/train/train-00000.tar")) == {f"{k:05d}.png" for k in range(5)}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ffhq", "nowhere"], "there is no such folder; give the one ffhq was unpacked into"),
        (["lsun", "."], "lsun: there is no such recipe; give one of ffhq, celeba-hq, imagenet, folder"),
        (["ffhq", "empty"], "holds no images of FFHQ"),
        (["imagenet", "empty"], "holds neither train nor val"),
        (["ffhq", "empty", "--hold-out", "0.5"], "has splits of its own"),
    ],
)
def test_what_is_not_the_data_set_is_said_in_one_line(tmp_path, monkeypatch, capsys, arguments, complaint):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe, source, *options = arguments
    assert run(["prepare", recipe, source, "out", *options]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_two_images_of_one_name_are_refused(tmp_path):
    jpeg(tmp_path / "00000" / "00001.jpg", 40, 40)
    jpeg(tmp_path / "copy" / "00001.jpg", 40, 40)
    with pytest.raises(DataError, match="would have the same name in the shards"):
        read_layout("ffhq", str(tmp_path))


@pytest.mark.slow
def test_shards_that_are_no_longer_part_and_remains_of_a_killed_command_are_removed(ffhq, tmp_path):
    how, out = Preparation("ffhq", 32, 8, per_shard=2), tmp_path / "out"
    list(prepare(read_layout("ffhq", str(ffhq)), out, how))
    (out / "train" / ".sr3-0123.tar").write_bytes(b"half")
    for number in (2, 3, 4):
        (ffhq / "images1024x1024" / "00000" / f"{number:05d}.jpg").unlink()
    list(prepare(read_layout("ffhq", str(ffhq)), out, how))
    assert sorted(path.name for path in (out / "train").iterdir()) == ["train-00000.tar"]
    assert sorted(path.name for path in (out / "records").iterdir()) == ["train-00000.json"]


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    jpeg(tmp_path / "in" / "fine.jpg", 40, 40)
    jpeg(tmp_path / "in" / "a.jpg", 10, 10)
    (tmp_path / "in" / "a.jpg").rename(tmp_path / "in" / os.fsdecode(b"caf\xe9.jpg"))
    [report] = prepare(read_layout("folder", str(tmp_path / "in")), tmp_path / "out", Preparation("folder", 32, 4))
    assert report.written == 1
    assert report.dropped[0][0].endswith("caf\\xe9.jpg")


def test_linked_folders_are_followed_once_and_dangling_links_fail_by_name(tmp_path):
    jpeg(tmp_path / "elsewhere" / "00001.jpg", 40, 40)
    jpeg(tmp_path / "in" / "00000" / "00000.jpg", 40, 40)
    (tmp_path / "in" / "00001").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "00000" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "00002.jpg").symlink_to(tmp_path / "gone.jpg")
    [report] = prepare(read_layout("ffhq", str(tmp_path / "in")), tmp_path / "out", Preparation("ffhq", 32, 8))
    assert report.written == 2
    assert "00002.jpg: cannot be read" in report.failed[0][1]


def test_dots_in_the_names_of_imagenet_do_not_mix_classes(tmp_path):
    for wnid, label in (("n01440764", 0), ("n02084071", 1)):
        jpeg(tmp_path / "train" / wnid / f"img.{wnid}.0.JPEG", 40, 40, seed=label)
    with pytest.warns(UserWarning, match="2 classes"):
        layout = read_layout("imagenet", str(tmp_path))
    list(prepare(layout, tmp_path / "out", Preparation("imagenet", 32, 4)))
    source = open_source(str(tmp_path / "out" / "train"))
    labels = {source.name(k).rpartition(":")[2]: source.label(k) for k in range(2)}
    assert labels == {"img_n01440764_0.png": 0, "img_n02084071_0.png": 1}


@pytest.mark.slow
def test_a_process_that_is_killed_loses_only_its_shard(ffhq, tmp_path):
    how = Preparation("ffhq", 32, 8, per_shard=3)
    layout = read_layout("ffhq", str(ffhq))
    deadly = replace(layout, source=Deadly([*layout.source.paths], layout.source.root))
    reports = {report.shard: report for report in prepare(deadly, tmp_path / "out", how, workers=2)}
    assert sum(report.written + len(report.failed) for report in reports.values()) == 5
    [lost] = [report for report in reports.values() if report.failed]
    assert lost.written == 0
    assert "was killed, perhaps because memory ran out" in lost.failed[0][1]
    again = list(prepare(layout, tmp_path / "out", how))
    assert sum(report.written for report in again) == 5


def test_a_full_disk_is_named(ffhq, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sr3.data.shards._add", refuse)
    with pytest.raises(DataError, match=r"train-00000\.tar: cannot be written \(No space left on device\)"):
        list(prepare(read_layout("ffhq", str(ffhq)), tmp_path / "out", Preparation("ffhq", 32, 8)))
    assert list((tmp_path / "out" / "train").iterdir()) == []


@pytest.mark.slow
def test_training_shards_are_a_fair_sample_of_all(tmp_path):
    for number in range(30):
        jpeg(tmp_path / "in" / f"{number:05d}.jpg", 32, 32)
    list(prepare(read_layout("ffhq", str(tmp_path / "in")), tmp_path / "out", Preparation("ffhq", 32, 1, per_shard=15)))
    first = [int(name[:5]) for name in members(tmp_path / "out/train/train-00000.tar")]
    assert first != sorted(first)
    assert 5 < sum(first) / 15 < 24


@pytest.mark.slow
def test_a_shard_with_failures_is_made_again_though_its_files_are_the_same(ffhq, tmp_path, monkeypatch):
    how, layout = Preparation("ffhq", 32, 8), read_layout("ffhq", str(ffhq))
    with monkeypatch.context() as patch:
        patch.setattr("sr3.data.shards.decode_pixels", lambda *_, **__: (_ for _ in ()).throw(DataError("no memory")))
        [report] = prepare(layout, tmp_path / "out", how)
    assert len(report.failed) == 5
    [report] = prepare(layout, tmp_path / "out", how)
    assert (report.written, report.was_there) == (5, False)


@pytest.mark.slow
def test_a_data_set_of_which_nothing_is_left_is_an_error(tmp_path, capsys):
    jpeg(tmp_path / "in" / "00000.jpg", 20, 20)
    assert run(["prepare", "ffhq", str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    assert "a smaller --size with the same OUT" in capsys.readouterr().err
    assert run(["prepare", "ffhq", str(tmp_path / "in"), str(tmp_path / "out"), "--size", "16"]) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["images"] == {"train": 1}
    assert run(["prepare", "ffhq", str(tmp_path / "in"), str(tmp_path / "out"), "--size", "8"]) == 2
    assert "was prepared with other settings" in capsys.readouterr().err
