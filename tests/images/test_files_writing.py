import errno
import os

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin

from sr3.errors import ImageError
from sr3.images.files import WRITABLE_SUFFIXES, Picture, read_picture, to_pixels, write_picture


def write_refusal(path, picture, **options):
    with pytest.raises(ImageError) as caught:
        write_picture(path, picture, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def grey(height=4, width=4, **parts):
    return Picture(torch.zeros(1, height, width), **parts)


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    message = write_refusal(tmp_path / "a.gif", grey())
    assert all(suffix in message for suffix in WRITABLE_SUFFIXES)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_is_refused_by_formats_without_it(tmp_path, suffix):
    message = write_refusal(tmp_path / f"a{suffix}", grey(alpha=torch.zeros(1, 4, 4)))
    assert "use .png" in message


def test_a_wholly_opaque_alpha_is_no_obstacle_to_jpeg(tmp_path):
    write_picture(tmp_path / "a.jpg", grey(alpha=torch.ones(1, 4, 4)))
    assert read_picture(tmp_path / "a.jpg").alpha is None


@pytest.mark.parametrize(("suffix", "side"), [(".jpg", 65501), (".webp", 16384)])
def test_a_side_too_long_for_the_format_is_refused(tmp_path, suffix, side):
    assert "per side" in write_refusal(tmp_path / f"a{suffix}", grey(1, side))
    write_picture(tmp_path / f"b{suffix}", grey(1, side - 1))


def test_a_quality_outside_1_to_100_is_refused(tmp_path):
    for quality in (0, 101):
        assert "1 to 100" in write_refusal(tmp_path / "a.jpg", grey(), quality=quality)


def test_a_jpeg_keeps_its_colour_at_full_resolution_and_the_asked_quality(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    picture = Picture(to_pixels(Image.fromarray(noise)))
    for quality in (50, 95):
        write_picture(tmp_path / f"{quality}.jpg", picture, quality=quality)
    with Image.open(tmp_path / "95.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 0
    assert (tmp_path / "50.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


def test_pixels_that_are_no_numbers_are_refused_with_the_name(tmp_path):
    message = write_refusal(tmp_path / "a.png", Picture(torch.full((3, 2, 2), float("nan"))))
    assert message.startswith(f"{tmp_path / 'a.png'}: pixels hold NaN")


def test_writing_into_a_missing_folder_is_refused(tmp_path):
    assert "folder does not exist" in write_refusal(tmp_path / "no" / "a.png", grey())
    (tmp_path / "file").touch()
    assert "Not a directory" in write_refusal(tmp_path / "file" / "a.png", grey())


def test_writing_over_a_folder_is_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert "directory" in write_refusal(tmp_path / "a.png", grey())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_full_disk_is_reported_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert "No space left" in write_refusal(tmp_path / "a.png", grey())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("place", ["PIL.Image.Image.save", "os.fsync", "os.replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, place, failure):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(_, file=None, *_arguments, **_options):
        if hasattr(file, "write"):
            file.write(b"half an image")
        raise failure("midway")

    monkeypatch.setattr(place, fail)
    with pytest.raises((failure, ImageError)) as caught:
        write_picture(path, grey())
    assert failure in (type(caught.value), type(caught.value.__cause__))
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    write_picture(tmp_path / "a.png", grey())
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_writing_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    write_picture(tmp_path / "link.png", grey())
    assert (tmp_path / "link.png").is_symlink()
    assert read_picture(tmp_path / "a.png").height == 4
