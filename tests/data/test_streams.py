"""Shards are read in order from files, addresses and pipes; lanes shuffle, share and remember them."""

import functools
import http.server
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import fsspec
import pytest
import torch

from shard_files import png, shards, tar
from sr3.config import DataConfig
from sr3.data.lanes import Cursor, Lane, count_lanes
from sr3.data.loader import batches
from sr3.data.opening import open_supply
from sr3.data.pairs import PairMaker, PairRecipe
from sr3.data.sources import Encoded
from sr3.data.stream_pairs import PairStream, hold_out
from sr3.data.streams import Broken, Stream, TarStream
from sr3.data.unusable import UnusableImages
from sr3.errors import DataError

START = Cursor()
RECIPE = PairRecipe(DataConfig(scale=4, crop=16, augment="flip", cache_gib=0.0))


def names(images) -> list[str]:
    return [image.name.rpartition(":")[2].removesuffix(".png") for image in images]


def lane(stream: Stream, number: int = 0, count: int = 1, *, block: int = 3, cursor: Cursor = START, held=()) -> Lane:
    kept = list(held) or [0] * len(stream.shards)
    return Lane(stream, number, count, seed=5, block=block, held=kept, cursor=cursor)


def taken(some: Lane, count: int) -> list[str]:
    with ThreadPoolExecutor(1) as pool:
        images = [some.take(pool) for _ in range(count)]
    some.close()
    return names(images)


def test_samples_are_joined_with_class_and_low_resolution_version(tmp_path):
    files = {"a/1.lr.png": b"small", "a/1.png": b"large", "a/1.cls": b"7", "a/note.txt": b"no", "a/2.JPG": b"two"}
    (tmp_path / "s.tar").write_bytes(tar(files))
    where = str(tmp_path / "s.tar")
    read = list(TarStream([where]).read(0))
    assert read == [Encoded(f"{where}:a/1.png", b"large", 7, b"small"), Encoded(f"{where}:a/2.JPG", b"two")]
    assert list(TarStream([where]).read(0, skip=1)) == read[1:]


def test_compressed_shards_are_read(tmp_path):
    (tmp_path / "s.tar.gz").write_bytes(tar({"1.png": b"one"}, mode="w:gz"))
    [image] = TarStream([str(tmp_path / "s.tar.gz")]).read(0)
    assert image.data == b"one"


def test_a_shard_that_breaks_off_gives_what_it_holds_and_is_counted(tmp_path):
    whole = tar({f"{k}.png": bytes(3000) for k in range(5)})
    (tmp_path / "s.tar").write_bytes(whole[: 3 * 3584 + 900])
    *images, rest = TarStream([str(tmp_path / "s.tar")]).read(0)
    assert names(images) == ["0", "1", "2"]
    assert isinstance(rest, Broken)
    assert "all after" in rest.name


@pytest.mark.parametrize("end", ["cut at a member", "header overwritten", "huge member"])
def test_a_damaged_shard_does_not_look_like_a_short_one(tmp_path, end):
    size = 3584  # of a member of 3000 bytes with its header
    data = bytearray(tar({f"{k}.png": bytes(3000) for k in range(5)}))
    if end == "cut at a member":
        del data[3 * size :]
    elif end == "header overwritten":
        data[3 * size + 148 : 3 * size + 151] = b"xyz"
    else:
        data[3 * size : 3 * size + 512] = tarfile.TarInfo("a.png").tobuf(tarfile.GNU_FORMAT)
        header = tarfile.TarInfo("a.png")
        header.size = 2**50
        data[3 * size : 3 * size + 512] = header.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "s.tar").write_bytes(data)
    *images, rest = TarStream([str(tmp_path / "s.tar")]).read(0)
    assert names(images) == ["0", "1"]  # of the third it is not known whether more belonged to it
    assert isinstance(rest, Broken)
    with pytest.raises(DataError, match="not a readable uncompressed tar shard"):
        open_supply(str(tmp_path / "s.tar"))


def test_one_empty_shard_among_others_is_counted(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"")
    (tmp_path / "b.tar").write_bytes(tar({"1.png": b"one"}))
    [broken] = TarStream([str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]).read(0)
    assert isinstance(broken, Broken)


class FailingHandler(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "20000")
        self.end_headers()

    def do_GET(self):
        type(self).asked += 1
        if "broken" in self.path:
            self.send_response(500)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "20000")
        self.end_headers()
        self.wfile.write(tar({"1.png": bytes(3000), "2.png": bytes(3000)})[:5000])

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_connection_that_breaks_is_tried_again_and_then_counted(monkeypatch):
    monkeypatch.setattr("sr3.data.streams._WAIT", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FailingHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_port}"
        *_, last = TarStream([f"{where}/s.tar", "other"]).read(0)
        assert isinstance(last, Broken)
        assert FailingHandler.asked >= 3
        [broken] = TarStream([f"{where}/broken.tar", "other"]).read(0)
        assert isinstance(broken, Broken)
        server.shutdown()
    with pytest.raises(DataError, match="cannot be read as a tar shard"):
        list(TarStream([f"{where}/gone.tar"]).read(0))


def test_a_stalled_pipe_is_ended_by_closing():
    stream = TarStream(["pipe:sleep 600"])
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, stream.read(0))
        while not stream._running:
            time.sleep(0.01)
        stream.close()
        with pytest.raises(DataError):
            reading.result(timeout=10)


@pytest.mark.slow
def test_a_shard_that_is_all_held_out_does_not_end_the_run(tmp_path):
    stream = shards(tmp_path, [2, 3])
    seen = [name for number in range(2) for name in taken(lane(stream, number, 2, held=[2, 0]), 60)]
    assert set(seen) == {"1-0", "1-1", "1-2"}


def test_names_of_members_are_one_line(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar({"a\nb\x1b[31m.png": b"one"}))
    [image] = TarStream([str(tmp_path / "s.tar")]).read(0)
    assert image.name.endswith(r"a\nb\x1b[31m.png")


def test_what_is_no_shard_is_one_clear_error(tmp_path):
    (tmp_path / "s.tar").write_bytes(b"not a shard" * 100)
    with pytest.raises(DataError, match=r"s\.tar: cannot be read as a tar shard"):
        list(TarStream([str(tmp_path / "s.tar")]).read(0))
    with pytest.raises(DataError, match=r"gone\.tar: there is no such file"):
        list(TarStream([str(tmp_path / "gone.tar")]).read(0))
    with pytest.raises(DataError, match="fsspec does not support this kind of address"):
        list(TarStream(["nowhere://s.tar"]).read(0))
    with pytest.raises(DataError, match="the command ended with 3"):
        list(TarStream(["pipe:exit 3"]).read(0))


def test_a_pipe_that_fails_at_its_end_is_counted(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar({"1.png": b"one"}))
    image, broken = TarStream([f"pipe:cat {tmp_path}/s.tar; exit 1"]).read(0)
    assert image.data == b"one"
    assert isinstance(broken, Broken)
    assert "ended with 1" in broken.reason


@pytest.mark.slow
def test_shards_come_from_patterns_addresses_and_pipes(tmp_path):
    shards(tmp_path, [2, 2, 1])
    with fsspec.open("memory://pile/00.tar", "wb") as file:
        file.write((tmp_path / "00.tar").read_bytes())
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for where, count in (
            (f"http://127.0.0.1:{server.server_port}/{{00..02}}.tar", 5),
            ("memory://pile/00.tar", 2),
            (f"pipe:cat {tmp_path}/{{01,02}}.tar", 3),
        ):
            stream = open_supply(where)
            assert isinstance(stream, TarStream)
            assert sum(len(list(stream.read(k))) for k in range(len(stream.shards))) == count
        missing = open_supply(f"http://127.0.0.1:{server.server_port}/gone.tar")
        with pytest.raises(DataError, match=r"gone\.tar"):
            list(missing.read(0))
        server.shutdown()
    for where in (str(tmp_path / "*.tar"), str(tmp_path / "{00..02}.tar"), str(tmp_path)):
        assert len(open_supply(where)) == 5
        assert len(open_supply(where, stream=True).shards) == 3
    with pytest.raises(DataError, match=r"03\.tar: there is no such file"):
        open_supply(str(tmp_path / "{00..03}.tar"))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_lane_shows_every_image_once_an_epoch_in_another_order(tmp_path):
    stream = shards(tmp_path, [4, 3, 5])
    images = taken(lane(stream), 24)
    first, second = images[:12], images[12:]
    assert sorted(first) == sorted(second) == sorted(f"{s}-{k}" for s, n in enumerate([4, 3, 5]) for k in range(n))
    assert first != second
    assert first != sorted(first)


def test_lanes_see_disjoint_shards(tmp_path):
    stream = shards(tmp_path, [2, 2, 2, 2])
    parts = [set(taken(lane(stream, number, 2, block=4), 4)) for number in range(2)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 8


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 1, 3, 4, 11, 12, 19])
def test_a_lane_goes_on_from_its_cursor(tmp_path, position):
    stream = shards(tmp_path, [4, 3, 5])
    whole = taken(lane(stream), 24)
    before = lane(stream)
    assert taken(before, position) == whole[:position]
    assert taken(lane(stream, cursor=before.cursor), 24 - position) == whole[position:]


def test_shards_without_images_end_with_an_error(tmp_path):
    with pytest.raises(DataError, match="hold no images to learn from"):
        taken(lane(shards(tmp_path, [0, 0])), 1)


def test_there_are_as_many_lanes_as_share_a_batch():
    assert [count_lanes(n, 12) for n in (1, 2, 5, 6, 100)] == [1, 2, 4, 6, 12]


def test_the_first_images_are_held_out_and_never_learnt_from(tmp_path):
    stream = shards(tmp_path, [2, 3, 4], damaged=())
    images, held = hold_out(stream, 3, UnusableImages())
    assert names(images.images) == ["0-0", "0-1", "1-0"]
    assert held == [2, 1, 0]
    assert sorted(taken(lane(stream, held=held), 6)) == ["1-1", "1-2", "2-0", "2-1", "2-2", "2-3"]
    with pytest.raises(DataError, match="9 images are too few to hold out 10"):
        hold_out(stream, 10, UnusableImages())


def pairs(
    stream: Stream, *, places: range, batch: int = 4, at=None, unusable: UnusableImages | None = None
) -> PairStream:
    held = [0] * len(stream.shards)
    unusable = UnusableImages() if unusable is None else unusable
    maker = PairMaker(RECIPE, 3)
    return PairStream(stream, maker, unusable, batch=batch, places=places, seed=1, block=6, held=held, at=at or {})


def feed(stream: PairStream, parts: list[range], first_step: int, count: int) -> torch.Tensor:
    made = batches(stream, batch=4, parts=parts, seed=2, first_step=first_step, workers=2)
    taken = torch.stack([torch.cat([part.y0 for part in step]) for step in islice(made, count)])
    made.close()
    return taken


@pytest.mark.slow
def test_processes_see_the_parts_of_the_same_batches(tmp_path):
    stream = shards(tmp_path, [3, 4, 3, 5])
    whole = feed(pairs(stream, places=range(4)), [range(4)], 0, 6)
    first = feed(pairs(stream, places=range(2)), [range(1), range(1, 2)], 0, 6)
    second = feed(pairs(stream, places=range(2, 4)), [range(2, 4)], 0, 6)
    assert torch.equal(torch.cat([first, second], 1), whole)


@pytest.mark.slow
def test_a_stream_goes_on_where_the_last_step_that_was_used_ended(tmp_path):
    stream = shards(tmp_path, [3, 4, 3, 5], damaged=("1-2",))
    whole = feed(pairs(stream, places=range(4), unusable=UnusableImages(1)), [range(4)], 0, 9)
    before = pairs(stream, places=range(4), unusable=UnusableImages(1))
    assert torch.equal(feed(before, [range(4)], 0, 5), whole[:5])
    after = pairs(stream, places=range(4), unusable=UnusableImages(1), at=before.cursors(5))
    assert torch.equal(feed(after, [range(4)], 5, 4), whole[5:])


@pytest.mark.slow
def test_damaged_images_of_a_stream_are_named_and_replaced_up_to_the_limit(tmp_path):
    stream = shards(tmp_path, [4, 4], damaged=("0-1", "1-3"))
    unusable = UnusableImages(2)
    feed(pairs(stream, places=range(4), unusable=unusable), [range(4)], 0, 8)
    assert sorted(complaint.partition(" ")[0][-8:] for complaint in unusable.unreported()) == ["0-1.png:", "1-3.png:"]
    with pytest.raises(DataError, match=r"2 images cannot be used, more than data\.max_unusable \(1\)"):
        feed(pairs(stream, places=range(4), unusable=UnusableImages(1)), [range(4)], 0, 8)


def test_processes_that_cannot_share_the_lanes_are_told_why(tmp_path):
    with pytest.raises(DataError, match="1 shards fill a batch of 4 in 1 groups, which 2 processes cannot share"):
        pairs(shards(tmp_path, [4]), places=range(2))


@pytest.mark.slow
def test_smaller_than_wanted_images_count_as_unusable(tmp_path):
    (tmp_path / "s.tar").write_bytes(tar({"0.png": png(0, side=8), "1.png": png(1), "2.png": png(2)}))
    unusable = UnusableImages(1)
    feed(pairs(TarStream([str(tmp_path / "s.tar")]), places=range(4), unusable=unusable), [range(4)], 0, 2)
    assert "is 8x8, but a side needs 16" in unusable.unreported()[0]
