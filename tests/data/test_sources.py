"""Where training images come from."""

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from sr3.data.opening import open_source
from sr3.data.sources import SubsetSource, fingerprint
from sr3.errors import DataError


def png(colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def test_a_folder_is_searched_below_and_text_is_left_out(tmp_path):
    (tmp_path / "b c").mkdir()
    (tmp_path / "a.PNG").write_bytes(png(1))
    (tmp_path / "b c" / "ü 2.png").write_bytes(png(2))
    (tmp_path / "notes.txt").write_text("no")
    source = open_source(str(tmp_path))
    assert [source.read(index) for index in range(len(source))] == [png(1), png(2)]
    assert source.name(1).endswith("ü 2.png")


def test_shards_give_the_same_bytes_as_their_members(tmp_path):
    write_shard(tmp_path / "t-0.tar", {"x.png": png(3), "x.json": b"{}", "y.jpg": png(4)})
    write_shard(tmp_path / "t-1.tar", {"z.png": png(5)})
    for where in (str(tmp_path), str(tmp_path / "t-*.tar")):
        source = open_source(where)
        assert [source.read(index) for index in range(len(source))] == [png(3), png(4), png(5)]
        assert source.name(2).endswith("t-1.tar:z.png")
    assert len(open_source(str(tmp_path / "t-0.tar"))) == 2


def test_a_subset_reads_the_named_places(tmp_path):
    write_shard(tmp_path / "t.tar", {f"{k}.png": png(k) for k in range(5)})
    subset = SubsetSource(open_source(str(tmp_path)), [4, 0])
    assert [subset.read(index) for index in range(len(subset))] == [png(4), png(0)]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda _: None, "no such file or folder"),
        (lambda path: path.mkdir(), "no images"),
        (lambda path: path.write_bytes(b"not a tar file"), "not a readable uncompressed tar"),
        (lambda path: write_shard(path, {"a.txt": b"a"}), "hold no images"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(tmp_path, make, complaint):
    path = tmp_path / "data"
    make(path)
    with pytest.raises(DataError) as caught:
        open_source(str(path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_shard_that_shrinks_is_noticed(tmp_path):
    write_shard(tmp_path / "t.tar", {"a.png": png(1)})
    source = open_source(str(tmp_path))
    (tmp_path / "t.tar").write_bytes((tmp_path / "t.tar").read_bytes()[:520])
    with pytest.raises(DataError, match="shorter"):
        source.read(0)


def test_hidden_files_are_left_out(tmp_path):
    (tmp_path / ".trash").mkdir()
    for name in ("a.png", "._a.png", ".trash/b.png"):
        (tmp_path / name).write_bytes(png(1))
    assert [Path(source_name).name for source_name in names(open_source(str(tmp_path)))] == ["a.png"]


def names(source):
    return [source.name(index) for index in range(len(source))]


def test_the_fingerprint_follows_names_and_order_but_not_the_place(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            (tmp_path / folder / name).write_bytes(png(1))
    one, two = (open_source(str(tmp_path / folder)) for folder in ("one", "two"))
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(SubsetSource(one, [1, 0])) != fingerprint(one) != fingerprint(SubsetSource(one, [0]))


def test_the_folders_below_are_the_classes(tmp_path):
    for name in ("zebra/far/a.png", "ant/b.png", "loose.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(1))
    source = open_source(str(tmp_path))
    assert {Path(source.name(k)).name: source.label(k) for k in range(3)} == {"b.png": 0, "loose.png": -1, "a.png": 1}


def test_classes_of_shards_are_members_beside_the_pictures(tmp_path):
    write_shard(tmp_path / "t.tar", {"a/x.png": png(3), "a/x.cls": b"7\n", "b/x.png": png(4), "y.cls": b"1"})
    source = open_source(str(tmp_path))
    assert [source.label(k) for k in range(2)] == [7, -1]
    assert SubsetSource(source, [1, 0]).label(1) == 7


def test_a_class_that_is_no_number_is_refused(tmp_path):
    write_shard(tmp_path / "t.tar", {"x.png": png(3), "x.cls": b"cat"})
    with pytest.raises(DataError, match=r"x\.cls: holds 'cat', not a class index"):
        open_source(str(tmp_path))
