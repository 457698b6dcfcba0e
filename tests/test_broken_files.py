"""Files that are damaged, odd or hostile, through the script that tries whole folders of them."""

import importlib.util
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pictures import smooth

SCRIPT = Path(__file__).parents[1] / "scripts" / "broken_files.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("broken_files", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["broken_files"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["broken_files"]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, *extra):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def write_sample(folder):
    """Write files that end as one line, and four that end as an image; returns the names of these."""
    Image.fromarray(smooth(12, 16)).save(folder / "whole.png")
    Image.fromarray(smooth(12, 16)).save(folder / "whole.jpg")
    turned = Image.Exif()
    turned[274] = 6  # a quarter
    Image.fromarray(smooth(12, 16, seed=1)).save(folder / "turned.jpg", exif=turned)
    tifffile.imwrite(folder / "floats.tif", smooth(12, 16).astype(np.float32) / 255, photometric="rgb")
    whole, jpeg = (folder / "whole.png").read_bytes(), (folder / "whole.jpg").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    files = {
        "empty.png": b"",
        "text.jpg": b"not an image\n" * 40,
        "magic.png": whole[:8],
        "magic.gif": b"GIF89a",
        "cut.png": whole[: len(whole) // 2],
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "flipped.png": bytes(flipped),
        "huge.png": png(2**31 - 1, 2**31 - 1, b""),
        "bomb.png": png(20_000, 20_000, zlib.compress(bytes(2**20))),
        "nothing.png": png(0, 5, b""),
        "deflate.png": png(16, 16, b"\x78\x9c" + bytes(40)),
        "text-bomb.png": png(4, 4, zlib.compress(bytes(20)), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**27)))),
        "strips.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 273, 4, 2**30, 2**31),
        "loop.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8),
        "wide.bmp": b"BM"
        + struct.pack("<IHHI", 70, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 2**30, -1, 1, 24, *[0] * 6),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {"whole.png", "whole.jpg", "turned.jpg", "floats.tif"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_every_file_ends_as_a_picture_or_as_one_line(script, tmp_path):
    (tmp_path / "files").mkdir()
    whole = write_sample(tmp_path / "files")
    script.write_model(tmp_path / "tiny.safetensors")
    ends = [script.try_file(path, tmp_path / "tiny.safetensors") for path in sorted((tmp_path / "files").iterdir())]
    assert {end.path.name for end in ends if end.kind == "picture"} == whole
    assert {end.path.name: (end.kind, end.said) for end in ends if end.kind not in script.GOOD} == {}
    assert len(ends) == 19
    assert f"| all {len(ends)} | 4 | 15 | 0 | 0 | 0 | 0 | 0 |" in script.table(ends)
    assert script.try_together(ends, tmp_path / "tiny.safetensors") == []
    first = next(k for k, end in enumerate(ends) if end.kind == "picture")
    ends[first] = ends[first]._replace(digest="of another image")
    assert [str(ends[first].path) in line for line in script.try_together(ends, tmp_path / "tiny.safetensors")] == [
        True
    ]


def test_a_picture_of_another_size_turn_or_colour_is_wrong(script, tmp_path):
    colours = Image.fromarray((smooth(16, 16) * 0.7 + 40).astype(np.uint8))
    colours.save(tmp_path / "in.png")
    red, green, blue = colours.split()
    wrong = {
        "size": colours,
        "turn": colours.transpose(Image.Transpose.ROTATE_90),
        "mirror": colours.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "colour": Image.merge("RGB", (blue, green, red)),
        "shift": colours.point(lambda value: value + 3),
    }
    for name, picture in wrong.items():
        picture.resize((60 if name == "size" else 64, 64), Image.Resampling.BICUBIC).save(tmp_path / "out.png")
        assert script.what_is_wrong(tmp_path / "in.png", tmp_path / "out.png"), name
    colours.resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / "out.png")
    assert script.what_is_wrong(tmp_path / "in.png", tmp_path / "out.png") == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_file_that_takes_all_memory_or_time_is_found(script, tmp_path):
    script.write_model(tmp_path / "tiny.safetensors")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    assert script.try_file(tmp_path / "a.png", tmp_path / "tiny.safetensors", memory=2**16).kind not in script.GOOD
    assert script.try_file(tmp_path / "a.png", tmp_path / "tiny.safetensors", seconds=0.0).kind == "too slow"
