"""Files through the library: the same bytes as the command's, with progress, and errors in one line."""

import numpy as np
import pytest
from PIL import Image

import sr3
from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.errors import ImageError

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path):
    return sr3.load(str(write_random_model(tmp_path / "m.safetensors")), device="cpu", dtype="float32")


def test_a_file_gives_the_bytes_of_the_command(model, tmp_path):
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.jpg", dpi=(300, 300), comment="kept")
    told = []
    found = model.upscale_file(
        tmp_path / "a.jpg", tmp_path / "b.jpg", steps=3, seed=5, quality=90, progress=lambda *step: told.append(step)
    )
    options = ["--steps", "3", "--seed", "5", "--quality", "90", "--model", str(tmp_path / "m.safetensors")]
    command = ["upscale", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "c.jpg"), "--dtype", "float32"]
    assert run([*command, "--device", "cpu", *options]) == 0
    assert found == tmp_path / "b.jpg"
    assert found.read_bytes() == (tmp_path / "c.jpg").read_bytes()
    assert told[-1] == (3, 3)


def test_without_a_target_the_result_is_beside_the_source_and_16_bits_stay(model, tmp_path):
    Image.fromarray(smooth(12, 16)[..., 0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    found = model.upscale_file(str(tmp_path / "a.png"), steps=2)
    assert found == tmp_path / "a-x4.png"
    with Image.open(found) as image:
        assert (image.mode, image.size) == ("I;16", (64, 48))


def test_what_is_there_already_is_replaced_only_when_asked(model, tmp_path):
    Image.fromarray(smooth(12, 16)).save(tmp_path / "a.png")
    target = tmp_path / "b.png"
    target.write_bytes(b"before")
    with pytest.raises(ImageError, match=r"b\.png: exists; give overwrite=True"):
        model.upscale_file(tmp_path / "a.png", target, steps=2)
    assert target.read_bytes() == b"before"
    model.upscale_file(tmp_path / "a.png", target, steps=2, overwrite=True)
    with Image.open(target) as image:
        assert image.size == (64, 48)


def test_a_file_that_cannot_be_read_is_an_error_of_one_line(model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"a\.png: is not an image"):
        model.upscale_file(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a str is not an image; .*, or a path to upscale_file"):
        model.upscale(str(tmp_path / "a.png"))


def test_progress_counts_the_steps_of_all_samples(model):
    told = []
    model.upscale(smooth(8, 8), steps=2, samples=3, progress=lambda *step: told.append(step))
    assert told == [(k, 6) for k in range(1, 7)]


def test_a_refinement_takes_the_range_of_numbers_too(model):
    narrow = smooth(12, 16).astype(np.uint16)[..., 0] * 16
    whole = model.upscale(narrow, steps=2, values=(0, 4095))
    *_, last = model.refine(narrow, steps=2, values=(0, 4095))
    assert np.array_equal(last.image, whole)
