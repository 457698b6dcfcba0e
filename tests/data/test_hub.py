"""Data sets by the library of the Hugging Face Hub, here from files of this machine."""

import pytest

from shard_files import png
from sr3.data.hub import HubSource, HubStream
from sr3.data.opening import open_supply
from sr3.data.sources import NO_LABEL
from sr3.errors import DataError

datasets = pytest.importorskip("datasets")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A folder of two Parquet shards of three images each, with classes and low-resolution versions."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tables"
    folder.mkdir()
    for shard in range(2):
        seeds = range(3 * shard, 3 * shard + 3)
        columns = {
            "photo": [{"bytes": png(seed, 32), "path": None} for seed in seeds],
            "label": list(seeds),
            "small": [{"bytes": png(seed, 8), "path": None} for seed in seeds],
        }
        kinds = {"photo": datasets.Image(), "label": datasets.Value("int64"), "small": datasets.Image()}
        rows = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
        rows.to_parquet(str(folder / f"train-{shard:05}-of-00002.parquet"))
    return folder


def test_a_folder_is_read_at_random(tables):
    source = open_supply(f"hf:{tables}?low=small")
    assert isinstance(source, HubSource)
    assert len(source) == 6
    assert [source.label(k) for k in (5, 0)] == [5, 0]
    assert source.read(4) == png(4, 32)
    assert source.read_low(4) == png(4, 8)


def test_a_stream_is_read_by_shards_in_order(tables):
    stream = open_supply(f"hf:{tables}?stream=true&image=photo")
    assert isinstance(stream, HubStream)
    assert len(stream.shards) == 2
    images = [image for shard in range(2) for image in stream.read(shard)]
    assert [image.label for image in images] == list(range(6))
    assert [image.data for image in images] == [png(seed, 32) for seed in range(6)]
    assert [image.label for image in stream.read(1, skip=2)] == [5]


def test_a_folder_of_pictures_has_its_folders_as_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for label, seed in (("cat", 0), ("dog", 1)):
        (tmp_path / "pets" / "train" / label).mkdir(parents=True)
        (tmp_path / "pets" / "train" / label / "one.png").write_bytes(png(seed, 32))
    source = open_supply(f"hf:{tmp_path / 'pets'}")
    assert [(source.label(k), source.read(k)) for k in range(2)] == [(0, png(0, 32)), (1, png(1, 32))]


def test_a_column_of_texts_called_label_is_no_class_and_refused_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "texts").mkdir()
    columns = {"image": [{"bytes": png(0, 32), "path": None}], "label": ["a cat"]}
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(columns, features=kinds).to_parquet(str(tmp_path / "texts" / "train-0.parquet"))
    assert open_supply(f"hf:{tmp_path / 'texts'}").label(0) == NO_LABEL
    with pytest.raises(DataError, match="its column label holds no class indices; name another"):
        open_supply(f"hf:{tmp_path / 'texts'}?label=label")


def test_mistakes_are_one_clear_line(tables, tmp_path):
    for what, said in (
        (f"{tables}?image=gone", "has no column gone; its columns are photo, label, small"),
        (f"{tables}?colour=red", "there is no parameter colour"),
        (f"{tables}?split=test", "cannot be opened"),
        (f"{tables}?stream=yes", "stream is 'yes'; write stream=true or stream=false"),
        (str(tmp_path / "nowhere"), "cannot be opened"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            open_supply(f"hf:{what}")
        assert "\n" not in str(caught.value)
