"""What a user names becomes images: folders of pairs, matched by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import smooth
from sr3.config import DataConfig
from sr3.data.dataset import PairDataset, leave_out
from sr3.data.opening import open_supply
from sr3.data.pairs import PairRecipe
from sr3.data.sources import FolderSource
from sr3.data.unusable import UnusableImages
from sr3.errors import DataError

PAIRED = PairRecipe(DataConfig(scale=4, crop=16, augment="dihedral", cache_gib=1.0, degradation="paired"))


def save(path: Path, side: int, *, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth(side, side, seed=seed)).save(path)


def folders(tmp_path, names=("b c/één.png", "b c/2.png", "x.png")) -> tuple[Path, Path]:
    for seed, name in enumerate(names):
        save(tmp_path / "high" / name, 64, seed=seed)
        save(tmp_path / "low" / name, 16, seed=seed)
    return tmp_path / "high", tmp_path / "low"


def test_folders_of_pairs_are_matched_by_their_names(tmp_path):
    high, low = folders(tmp_path)
    (low / "x.png").rename(low / "xx4.png")
    (low / "b c" / "2.png").rename(low / "b c" / "2.webp")
    (high / "notes.txt").write_text("no image")
    source = open_supply(str(high), low_res=low, scale=4)
    assert isinstance(source, FolderSource)
    matched = [(path.name, small.name) for path, small in zip(source.paths, source.lows, strict=True)]
    assert matched == [("2.png", "2.webp"), ("één.png", "één.png"), ("x.png", "xx4.png")]


def test_what_has_no_partner_is_listed(tmp_path):
    high, low = folders(tmp_path)
    (low / "x.png").rename(low / "y.png")
    with pytest.raises(DataError) as caught:
        open_supply(str(high), low_res=low, scale=4)
    assert f"1 without a low-resolution version ({high / 'x.png'})" in str(caught.value)
    assert f"1 without a large one ({low / 'y.png'})" in str(caught.value)


def test_two_of_one_name_are_refused(tmp_path):
    high, low = folders(tmp_path)
    save(low / "x.webp", 16)
    with pytest.raises(DataError, match=r"x\.webp: has the same name as"):
        open_supply(str(high), low_res=low, scale=4)
    (low / "x.webp").unlink()
    save(high / "x.webp", 64)
    with pytest.raises(DataError, match="has more than one x up to the suffix"):
        open_supply(str(high), low_res=low, scale=4)


def test_the_given_small_picture_is_the_condition(tmp_path):
    high, low = folders(tmp_path)
    dataset = PairDataset(open_supply(str(high), low_res=low, scale=4), PAIRED)
    truth, given = (np.asarray(Image.open(folder / "b c" / "2.png")) for folder in (high, low))
    middle = dataset.centre(0, 48)
    assert torch.equal(middle.low_res, torch.from_numpy(given[2:14, 2:14].copy()).permute(2, 0, 1) / 127.5 - 1)
    assert torch.equal(middle.y0, torch.from_numpy(truth[8:56, 8:56].copy()).permute(2, 0, 1) / 127.5 - 1)
    # A crop of the pair lies at one place of both, turned alike.
    whole = dataset.centre(0, 64)
    crops = whole.low_res.unfold(1, 4, 1).unfold(2, 4, 1)
    for seed in range(4):
        pair = PairDataset(
            open_supply(str(high), low_res=low, scale=4),
            PAIRED._replace(data=PAIRED.data.model_copy(update={"augment": "none"})),
        ).pair(0, torch.Generator().manual_seed(seed))
        rows, columns = torch.where((crops - pair.low_res[:, None, None]).abs().sum((0, 3, 4)) == 0)
        row, column = 4 * int(rows[0]), 4 * int(columns[0])
        assert torch.equal(pair.y0, whole.y0[:, row : row + 16, column : column + 16])


def test_pairs_that_do_not_fit_are_named_before_the_run(tmp_path):
    high, low = folders(tmp_path)
    save(low / "x.png", 15)
    source = open_supply(str(high), low_res=low, scale=4)
    with pytest.raises(
        DataError, match=r"1 of 3 .*x\.png is 64x64, its low-resolution version 15x15; check data\.scale"
    ):
        leave_out(source, PAIRED, UnusableImages(0))
    with pytest.raises(DataError, match="is 15x15 with 3 channels, not 16x16 with 3"):
        PairDataset(source, PAIRED).centre(2, 64)


def test_pairs_without_small_pictures_are_refused(tmp_path):
    high, _ = folders(tmp_path)
    with pytest.raises(DataError, match="give a folder of them by --low-res"):
        PairDataset(open_supply(str(high)), PAIRED).centre(0, 64)
    with pytest.raises(DataError, match="is not a folder"):
        open_supply(str(high), low_res=tmp_path / "gone")
