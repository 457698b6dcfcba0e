"""Training images from the `datasets` library: Hugging Face Hub data sets, and folders that it reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sr3.data.sources import NO_LABEL, Encoded, Source
from sr3.data.streams import Broken, Stream
from sr3.errors import DataError

__all__ = ["HubSource", "HubStream", "open_hub"]

_ASKED = ("split", "config", "image", "label", "low", "stream")


@dataclass(frozen=True)
class _Columns:
    """Names of the columns that are read; empty for those there are not."""

    image: str
    label: str = ""
    low: str = ""

    def encoded(self, name: str, row: dict[str, Any]) -> Encoded:
        """Take an image out of a row."""
        label = row.get(self.label) if self.label else None
        low = _bytes(row[self.low], name) if self.low else None
        return Encoded(name, _bytes(row[self.image], name), NO_LABEL if label is None else int(label), low)


@dataclass(frozen=True)
class HubSource:
    """A data set that lies on this machine, read at random."""

    rows: Any
    columns: _Columns
    where: str

    def __len__(self) -> int:
        """Count the images."""
        return len(self.rows)

    def name(self, index: int) -> str:
        """Return the data set and the row."""
        return f"{self.where}:{index}"

    def read(self, index: int) -> bytes:
        """Read the image of a row."""
        return _bytes(self.rows[index][self.columns.image], self.name(index))

    def label(self, index: int) -> int:
        """Return the class of a row."""
        label = self.rows[index][self.columns.label] if self.columns.label else None
        return NO_LABEL if label is None else int(label)

    def read_low(self, index: int) -> bytes | None:
        """Read the low-resolution version of a row."""
        return _bytes(self.rows[index][self.columns.low], self.name(index)) if self.columns.low else None


@dataclass(frozen=True)
class HubStream:
    """A data set that is read in order, as it comes over the network."""

    rows: Any
    columns: _Columns
    shards: Sequence[str]

    def read(self, shard: int, skip: int = 0) -> Iterator[Encoded | Broken]:
        """Read a shard in order, as the library parts it."""
        try:
            rows = self.rows.shard(num_shards=len(self.shards), index=shard).skip(skip)
            for number, row in enumerate(rows, start=skip):
                yield self.columns.encoded(f"{self.shards[shard]}:{number}", row)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{self.shards[shard]}: cannot be read ({_said(error)}); check it and resume") from error

    def reopened(self) -> "HubStream":
        """Return itself: nothing of it is open."""
        return self

    def close(self) -> None:
        """End nothing: the library reads by itself."""


def open_hub(what: str) -> Source | Stream:
    """Open NAME?split=train&config=...&image=COLUMN&label=COLUMN&low=COLUMN&stream=true|false.

    NAME is a data set of the Hub, which is streamed unless stream is false, or a folder, which is read at random unless
    it is true.
    Raises DataError without the library, for a data set that cannot be had, and for columns there are not.
    """
    name, _, query = what.partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(asked) - set(_ASKED))
    if not name or unknown:
        problem = f"there is no parameter {', '.join(unknown)}" if unknown else "the name of the data set is missing"
        raise DataError(f"hf:{what}: {problem}; write hf:NAME?{'=...&'.join(_ASKED)}=...")
    stream = asked.get("stream", "false" if Path(name).is_dir() else "true")
    if stream not in ("true", "false"):
        raise DataError(f"hf:{what}: stream is {stream!r}; write stream=true or stream=false")
    streams = stream == "true"
    rows = _load(name, asked, streams=streams)
    columns = _columns(rows, name, asked)
    for column in (columns.image, columns.low):
        if column:
            rows = rows.cast_column(column, _undecoded())
    if not streams:
        return HubSource(rows, columns, f"hf:{name}")
    return HubStream(rows, columns, [f"hf:{name} {k + 1}/{rows.num_shards}" for k in range(rows.num_shards)])


def _load(name: str, asked: dict[str, str], *, streams: bool) -> Any:  # noqa: ANN401 (the library has no types of use)
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"hf:{name}: needs the library datasets: pip install 'sr3[hub]'") from error
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(name, asked.get("config"), split=asked.get("split", "train"), streaming=streams)
    except Exception as error:  # from the network, from the files, and from the library itself
        raise DataError(f"hf:{name}: cannot be opened ({_said(error)}); check its name, config and split") from error


def _undecoded() -> Any:  # noqa: ANN401
    import datasets

    return datasets.Image(decode=False)


def _columns(rows: Any, name: str, asked: dict[str, str]) -> _Columns:  # noqa: ANN401
    """Find the columns: those asked for, or the first of images and `label`, if it is there and holds classes."""
    features = dict(rows.features or {})
    pictures = [column for column, kind in features.items() if type(kind).__name__ == "Image"]
    image = asked.get("image", pictures[0] if pictures else "")
    label = asked.get("label", "label" if _holds_classes(features.get("label")) else "")
    expected = [column for column in (image, label, asked.get("low", "")) if column]
    missing = [column for column in expected if features and column not in features]
    if not image or missing:
        raise DataError(
            f"hf:{name}: has no column {', '.join(missing) or 'of images'}; its columns are {', '.join(features)}: "
            "name them by ?image=COLUMN&label=COLUMN"
        )
    if label and features and not _holds_classes(features[label]):
        raise DataError(f"hf:{name}: its column {label} holds no class indices; name another by ?label=COLUMN")
    return _Columns(image, label, asked.get("low", ""))


def _holds_classes(kind: Any) -> bool:  # noqa: ANN401
    """Return whether a column is of classes or of whole numbers."""
    return type(kind).__name__ == "ClassLabel" or str(getattr(kind, "dtype", "")).startswith(("int", "uint"))


def _bytes(value: Any, name: str) -> bytes:  # noqa: ANN401
    """Take the encoded image out of a cell: its bytes, or those of the file it names."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict) and (value.get("bytes") or value.get("path")):
        return value["bytes"] or Path(value["path"]).read_bytes()
    raise DataError(f"{name}: holds no image; name the right column by ?image=COLUMN")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
