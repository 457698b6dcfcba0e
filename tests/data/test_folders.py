import io
import os
import tarfile

import pytest
from PIL import Image

from pictures import smooth
from sr3.data.folders import files_below
from sr3.data.layouts import read_layout
from sr3.data.members import CheckedHeader, check_member
from sr3.data.opening import open_source
from sr3.errors import DataError


def png(seed=0):
    buffer = io.BytesIO()
    Image.fromarray(smooth(16, 16, seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def linked(tmp_path):
    """Two images in a folder, three in another that is linked from it, and a link that leads back."""
    own, elsewhere = tmp_path / "set" / "own", tmp_path / "elsewhere"
    own.mkdir(parents=True)
    elsewhere.mkdir()
    for k in range(2):
        (own / f"{k}.png").write_bytes(png(k))
    for k in range(3):
        (elsewhere / f"e{k}.png").write_bytes(png(k))
    os.symlink(elsewhere, tmp_path / "set" / "other")
    os.symlink(tmp_path / "set", own / "back")
    (tmp_path / "set" / ".hidden").mkdir()
    (tmp_path / "set" / ".hidden" / "h.png").write_bytes(png())
    return tmp_path / "set"


def test_linked_folders_are_searched_and_one_that_leads_back_ends(linked):
    found = [str(path.relative_to(linked)) for path in files_below(linked, (".png",))]
    assert found == ["other/e0.png", "other/e1.png", "other/e2.png", "own/0.png", "own/1.png"]


def test_training_evaluation_and_preparation_find_the_same_pictures(linked):
    assert len(open_source(str(linked))) == 5
    assert len(read_layout("folder", str(linked)).items) == 5


def test_a_folder_of_nothing_but_links_is_no_empty_one(linked, tmp_path):
    (tmp_path / "only").mkdir()
    os.symlink(linked / "own", tmp_path / "only" / "a")
    assert len(open_source(str(tmp_path / "only"))) >= 2


def test_what_a_mac_puts_beside_each_member_is_no_picture(tmp_path):
    with tarfile.open(tmp_path / "mac.tar", "w") as tar:
        for k in range(3):
            for name, data in (
                (f"./._{k}.png", b"\0\5\x16\7" + bytes(100)),
                (f"__MACOSX/{k}.png", bytes(100)),
                (f"./{k}.png", png(k)),
                (f"./._{k}.cls", bytes(100)),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    source = open_source(str(tmp_path / "mac.tar"))
    assert [source.name(k).rpartition(":")[2] for k in range(len(source))] == ["./0.png", "./1.png", "./2.png"]


@pytest.mark.parametrize(("name", "size"), [("a.png", 40 * 2**30), ("a.cls", 2**20)])
def test_a_member_that_claims_too_much_is_refused_before_it_is_read(name, size):
    entry = CheckedHeader(name)
    entry.size = size
    with pytest.raises(tarfile.ReadError, match="claims"):
        check_member(entry)
    entry.size = 1000
    check_member(entry)


def test_a_shard_with_such_a_member_is_one_line(tmp_path):
    entry = tarfile.TarInfo("a.png")
    entry.size = 40 * 2**30
    (tmp_path / "bad.tar").write_bytes(entry.tobuf() + bytes(10240))
    with pytest.raises(DataError, match="not a readable uncompressed tar shard"):
        open_source(str(tmp_path / "bad.tar"))
