import errno
import os
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr3.errors import ImageError
from sr3.images.files import (
    MAX_INPUT_PIXELS,
    Picture,
    list_pictures,
    read_picture,
    to_pillow,
    to_pixels,
    write_picture,
)


def levels(channels, height=7, width=11, top=256):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(channels).integers(0, top, shape).astype(np.uint8 if top == 256 else np.uint16)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, *, bits=8, colour=0, key=b""):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + (png_chunk(b"tRNS", key) if key else b"")
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def refusal(path):
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def grey(height=4, width=4, **parts):
    return Picture(torch.zeros(1, height, width), **parts)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_an_8_bit_picture_survives_a_lossless_round_trip(tmp_path, mode, channels, suffix):
    array = levels(channels)
    Image.fromarray(array).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / f"b{suffix}", picture)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert written.mode == mode
        assert np.array_equal(np.asarray(written), array)
    assert picture.pixels.shape == (channels, picture.height, picture.width) == (channels, 7, 11)
    assert torch.equal(read_picture(tmp_path / f"b{suffix}").pixels, picture.pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("mode", "channels"), [("LA", 2), ("RGBA", 4)])
def test_alpha_survives_a_round_trip(tmp_path, mode, channels, suffix):
    array = levels(channels)
    Image.fromarray(array).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert torch.equal(picture.alpha, torch.from_numpy(array[None, ..., -1]).div(255))
    write_picture(tmp_path / f"b{suffix}", picture)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert written.mode == mode
        assert np.array_equal(np.asarray(written), array)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_survives_a_round_trip(tmp_path, suffix):
    array = levels(1, 256, 256, top=65536)
    array.flat[:] = np.random.default_rng(0).permutation(65536)
    Image.fromarray(array).save(tmp_path / f"a{suffix}")
    picture = read_picture(tmp_path / f"a{suffix}")
    assert picture.depth == 16
    assert (picture.pixels.min(), picture.pixels.max()) == (-1, 1)
    write_picture(tmp_path / f"b{suffix}", picture)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert np.array_equal(np.asarray(written), array)


def test_16_bit_grey_is_written_to_jpeg_with_8_bits(tmp_path):
    with pytest.warns(UserWarning, match=r"a\.jpg: JPEG holds 8 bits"):
        write_picture(tmp_path / "a.jpg", grey(depth=16))
    assert read_picture(tmp_path / "a.jpg").depth == 8


def test_every_8_bit_level_maps_onto_minus_one_to_one_and_back():
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    pixels = to_pixels(image)
    assert torch.allclose(pixels.flatten(), torch.linspace(-1, 1, 256), atol=1e-6)
    assert np.array_equal(np.asarray(to_pillow(pixels)), np.asarray(image))


def test_pixels_are_rounded_to_the_nearest_level_and_limited_to_the_range():
    pixels = torch.tensor([10.4, 10.6, 300.0, -20.0, float("inf")]) / 127.5 - 1
    assert np.asarray(to_pillow(pixels[None, None])).tolist() == [[10, 11, 255, 0, 255]]


def test_pixels_that_make_no_picture_are_refused():
    with pytest.raises(ImageError, match=r"shape \(4, 2, 2\)"):
        to_pillow(torch.zeros(4, 2, 2))
    with pytest.raises(ImageError, match="NaN"):
        to_pillow(torch.full((1, 2, 2), float("nan")))
    with pytest.raises(ImageError, match="mode RGBA"):
        to_pixels(Image.new("RGBA", (2, 2)))


def test_a_palette_with_transparency_becomes_colour_and_alpha(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    for name in ("a.png", "a.gif"):
        image.save(tmp_path / name, transparency=1)
        picture = read_picture(tmp_path / name)
        assert picture.pixels[:, 0, 0].tolist() == [1, -1, -1]
        assert picture.alpha.tolist() == [[[1, 0]]]


def test_only_the_first_frame_of_a_gif_is_read(tmp_path):
    frames = [Image.new("L", (3, 2), level) for level in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"a\.gif: holds several images, only the first is read"):
        assert (read_picture(tmp_path / "a.gif").pixels == -1).all()


def test_a_1_bit_picture_becomes_grey(tmp_path):
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "a.png")
    assert torch.equal(read_picture(tmp_path / "a.png").pixels[0], torch.eye(8) * 2 - 1)


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key", "alpha"),
    [
        (1, 0, b"\x40", b"\x00\x01", [1, 0]),
        (2, 0, b"\x60", b"\x00\x02", [1, 0]),
        (4, 0, b"\x3f", b"\x00\x03", [0, 1]),
        (8, 0, b"\x03\x04", b"\x00\x04", [1, 0]),
        (16, 0, b"\x02\x01\x02\x00", b"\x02\x01", [0, 1]),
        (8, 2, b"abcabd", b"\x00a\x00b\x00d", [1, 0]),
        (16, 2, b"a\xffb\xffc\xff" + b"zzzzzz", b"a\xffb\xffc\xff", [0, 1]),
    ],
)
def test_the_transparent_colour_of_a_png_is_found_at_every_depth(tmp_path, bits, colour, row, key, alpha):
    (tmp_path / "a.png").write_bytes(png(2, 1, b"\x00" + row, bits=bits, colour=colour, key=key))
    assert read_picture(tmp_path / "a.png").alpha.tolist() == [[alpha]]


def test_32_bit_whole_numbers_are_refused(tmp_path):
    Image.new("I", (3, 2)).save(tmp_path / "a.tif")
    assert "signed whole numbers of 32 bits" in refusal(tmp_path / "a.tif")


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "a.png")


def test_a_folder_is_refused(tmp_path):
    assert "is a folder" in refusal(tmp_path)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "pipe" in refusal(tmp_path / "a.png")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    assert "is empty" in refusal(tmp_path / "a.png")


def test_text_named_png_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("not an image\n" * 100)
    assert "is not an image" in refusal(tmp_path / "a.png")


def test_a_format_that_is_not_promised_is_refused(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.ppm")
    assert "is not an image" in refusal(tmp_path / "a.ppm")


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"x")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permissions" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {}),
        ("b.jpg", {"progressive": True}),
        ("a.webp", {}),
        ("a.gif", {}),
        ("a.bmp", {}),
        ("a.tif", {}),
        ("b.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_a_truncated_file_is_refused_in_one_line(tmp_path, capfd, name, options, share):
    path = tmp_path / name
    Image.fromarray(levels(3, 80, 60)).save(path, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert re.search("damaged|not an image", refusal(path))
    capfd.readouterr()  # libtiff writes to the screen itself


@pytest.mark.parametrize("side", [50000, 12000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    assert side**2 > MAX_INPUT_PIXELS
    (tmp_path / "a.png").write_bytes(png(side, side, b""))
    assert "pixels" in refusal(tmp_path / "a.png")


def test_a_message_stays_on_one_line_when_the_name_does_not(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_picture(tmp_path / "a\nb.png")
    assert "\n" not in str(caught.value)


def test_what_pillow_warns_of_names_the_file_and_the_caller(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", grey())
    odd = "sr3.images.files.turn_upright"
    monkeypatch.setattr(odd, lambda _: warnings.warn("odd\nbut readable", stacklevel=1))
    with pytest.warns(UserWarning, match=r"a\.png: odd but readable$") as caught:
        read_picture(tmp_path / "a.png")
    assert caught[0].filename == __file__


def test_pictures_of_a_folder_are_listed_by_name_without_hidden_ones(tmp_path):
    for name in ("b.PNG", "a.jpeg", "c.gif", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.warns(UserWarning, match=r"files of other kinds are left out \(\.txt\)"):
        assert [path.name for path in list_pictures(tmp_path)] == ["a.jpeg", "b.PNG", "c.gif"]


def test_a_folder_without_pictures_is_refused(tmp_path):
    for folder, text in ((tmp_path, "holds no image"), (tmp_path / "no", "cannot be read as a folder")):
        with pytest.raises(ImageError, match=text):
            list_pictures(folder)
