"""Truths, their inputs and their classes."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import smooth
from sr3.config import DataConfig
from sr3.data.dataset import PairDataset
from sr3.data.opening import open_source
from sr3.data.pairs import PairRecipe
from sr3.data.sources import NO_LABEL
from sr3.errors import DataError, ImageError
from sr3.evaluation.cases import label_of, open_cases, read_image
from sr3.evaluation.settings import Settings


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def cases_of(folder, inputs=None, *, most=None, first=None, **settings):
    return open_cases(
        open_source(str(folder)),
        str(folder),
        settings=Settings(**settings),
        inputs=None if inputs is None else open_source(str(inputs)),
        input_where=str(inputs),
        most=most,
        first=first,
    )


@pytest.fixture
def truths(tmp_path):
    for k, size in enumerate(((32, 40), (35, 43), (48, 32))):
        write(tmp_path / "truths" / f"{k}.png", smooth(*size, seed=k))
    return tmp_path / "truths"


def test_inputs_are_made_as_pairs_of_training_are(truths):
    cases = cases_of(truths, scale=4)
    dataset = PairDataset(open_source(str(truths)), PairRecipe(DataConfig(augment="none", cache_gib=0.0)))
    case, pair = cases.case("0"), dataset.centre(0, 4096)
    assert case.low_res is not None
    torch.testing.assert_close(case.low_res[0], pair.low_res, rtol=0, atol=1e-6)
    assert torch.equal(case.truth[0], pair.y0)


def test_truths_are_cut_to_whole_cells_at_the_right_and_bottom(truths):
    case = cases_of(truths, scale=4).case("1")
    expected = smooth(35, 43, seed=1)[:32, :40].transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(case.truth[0], expected, atol=1e-6)
    assert cases_of(truths).case("1").truth.shape == (1, 3, 35, 43)


def test_the_scale_is_that_of_the_first_input(truths, tmp_path):
    for k, size in enumerate(((16, 20), (17, 21), (24, 16))):
        write(tmp_path / "inputs" / f"{k}.png", smooth(*size))
    cases = cases_of(truths, tmp_path / "inputs")
    assert cases.settings.scale == 2
    assert [cases.case(name).truth.shape[2:] for name in cases.names] == [(32, 40), (34, 42), (48, 32)]


def test_an_input_of_another_size_is_refused(truths, tmp_path):
    for k in range(3):
        write(tmp_path / "inputs" / f"{k}.png", smooth(16, 20))
    with pytest.raises(ImageError, match=r"2\.png: is 32x48, its input 20x16, not 2 times smaller"):
        cases_of(truths, tmp_path / "inputs").case("2")


def test_fewer_truths_are_spread_evenly_and_keep_their_inputs(truths):
    few = cases_of(truths, scale=4, most=1)
    assert few.names == ["1"]
    assert len(few) == 1
    assert cases_of(truths, most=5, first=9).names == ["0", "1", "2"]


def test_the_first_truths_are_the_first_by_name(truths):
    assert cases_of(truths, first=2).names == ["0", "1"]
    assert cases_of(truths, most=1, first=2).names == ["1"]


def test_inputs_are_needed_of_the_chosen_truths_only_and_of_no_others_than_truths(truths, tmp_path):
    write(tmp_path / "inputs" / "0.png", smooth(16, 20))
    assert cases_of(truths, tmp_path / "inputs", first=1).names == ["0"]
    write(tmp_path / "inputs" / "2.png", smooth(24, 16))
    assert cases_of(truths, tmp_path / "inputs", first=1).names == ["0"]
    write(tmp_path / "inputs" / "x.png", smooth(24, 16))
    with pytest.raises(DataError, match=r"1 without a truth \(x\)"):
        cases_of(truths, tmp_path / "inputs", first=1)


@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg", "photo"])
def test_an_input_does_not_depend_on_the_other_truths(truths, kind):
    before = cases_of(truths, scale=4, degradation=kind).case("2").low_res
    (truths / "0.png").unlink()
    after = cases_of(truths, scale=4, degradation=kind).case("2").low_res
    assert torch.equal(before, after)


@pytest.mark.parametrize("size", [(56, 56), (256, 256), (64, 65)])
def test_inputs_of_the_classification_are_of_one_size(tmp_path, size):
    write(tmp_path / "truths" / "3_a.png", smooth(256, 256))
    write(tmp_path / "inputs" / "3_a.png", smooth(*size))
    with pytest.raises(
        ImageError, match=rf"3_a\.png: is {size[1]}x{size[0]}, but inputs of the classification task are 64x64"
    ):
        cases_of(tmp_path / "truths", tmp_path / "inputs", task="classification", scale=4).case("3_a")


@pytest.mark.parametrize("kind", ["jpeg", "photo"])
def test_inputs_that_pass_through_jpeg_cannot_be_made_of_four_bands(tmp_path, kind):
    np.save(tmp_path / "a.npy", np.zeros((32, 32, 4), np.float32))
    with pytest.raises(DataError, match=r"a\.npy: has 4 channels, but JPEG supports 1 or 3"):
        cases_of(tmp_path, scale=4, degradation=kind).case("a")


def test_pictures_smaller_than_the_window_are_refused(truths):
    with pytest.raises(
        ImageError, match=r"0\.png: 40x32 is too small; each side needs 11 pixels inside a border of 11"
    ):
        cases_of(truths, border=11).case("0")


def test_a_picture_that_is_clear_in_part_has_no_one_colour(tmp_path):
    clear = np.dstack([smooth(16, 16), np.full((16, 16), 128, np.uint8)])
    write(tmp_path / "a.png", clear)
    with pytest.raises(ImageError, match="partly transparent"):
        read_image(open_source(str(tmp_path)), 0)


def test_sixteen_bits_and_floats_keep_their_levels(tmp_path):
    write(tmp_path / "deep.png", np.full((4, 4), 12345, np.uint16))
    np.save(tmp_path / "float.npy", np.full((4, 4, 5), 0.25, np.float32))
    deep, fine = (read_image(open_source(str(tmp_path)), k) for k in range(2))
    assert deep[1] == 65535
    assert deep[0][0, 0, 0].item() == pytest.approx(12345 / 32767.5 - 1)
    assert fine[1] == 0
    assert fine[0].shape == (5, 4, 4)
    assert fine[0][0, 0, 0].item() == pytest.approx(-0.5)


def test_classes_are_the_numbers_that_names_begin_with(tmp_path):
    for name in ("281_n02123045", "7_", "00293", "cat_3", "12a"):
        write(tmp_path / f"{name}.png", smooth(16, 16))
    source = open_source(str(tmp_path))
    found = {Path(source.name(k)).stem: label_of(source, k) for k in range(5)}
    none = dict.fromkeys(("00293", "cat_3", "12a"), NO_LABEL)
    assert found == {"281_n02123045": 281, "7_": 7, **none}


def test_a_class_file_beside_a_picture_or_member_comes_first(tmp_path):
    write(tmp_path / "plain" / "5_a.png", smooth(16, 16))
    (tmp_path / "plain" / "5_a.cls").write_text("9\n")
    assert label_of(open_source(str(tmp_path / "plain")), 0) == 9
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name, data in (("5_a.png", (tmp_path / "plain" / "5_a.png").read_bytes()), ("5_a.cls", b"3")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert label_of(open_source(str(tmp_path / "shard.tar")), 0) == 3
    (tmp_path / "plain" / "5_a.cls").write_text("cat")
    with pytest.raises(DataError, match="contains 'cat', not a class index"):
        label_of(open_source(str(tmp_path / "plain")), 0)


def test_the_classification_takes_the_middle_and_its_quarter_enlarged_to_64(tmp_path):
    picture = (smooth(256, 260) * 0.6 + 50).astype(np.uint8)
    write(tmp_path / "3_a.png", picture)
    case = cases_of(tmp_path, task="classification", scale=4).case("3_a")
    middle = Image.fromarray(picture[16:240, 18:242])
    quarter = middle.resize((56, 56), Image.Resampling.BICUBIC)
    entry = np.asarray(quarter.resize((64, 64), Image.Resampling.BICUBIC), np.float64)
    np.testing.assert_allclose(case.truth[0], np.asarray(middle).transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    assert case.low_res is not None
    apart = np.abs((case.low_res[0].double().numpy() + 1) * 127.5 - entry.transpose(2, 0, 1))
    assert apart.max() <= 2.001  # Pillow rounds between across and down, twice
    assert apart.mean() < 0.4
    assert case.label == 3


def test_the_classification_needs_224_pixels(truths):
    with pytest.raises(ImageError, match="needs 224 pixels per side"):
        cases_of(truths, task="classification").case("0")
