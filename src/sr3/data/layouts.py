"""Directory layouts of the paper's data sets as published: names, classes, splits.

FFHQ (arXiv:1812.04948) for training on faces, CelebA-HQ (arXiv:1710.10196) to evaluate it, ImageNet
(ILSVRC 2012) for both; and any folder. No pixel is read here.
"""

import csv
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sr3.data.folders import files_below
from sr3.data.opening import open_source
from sr3.data.sources import NO_LABEL, FolderSource, ShardSource, Source
from sr3.errors import DataError

__all__ = ["LAYOUTS", "Item", "Layout", "read_layout"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Item:
    """An image to prepare: its place in the source, name in the shards, split and class."""

    index: int
    key: str
    split: str
    label: int = NO_LABEL


@dataclass(frozen=True)
class Layout:
    """The images of a data set, and those whose names the data set does not have, with the reason."""

    source: Source
    items: Sequence[Item]
    strangers: Sequence[tuple[str, str]]


def read_layout(name: str, where: str, *, hold_out: float = 0.0) -> Layout:
    """Find the images of a data set; DataError when they are not laid out as it is.

    hold_out: share of a folder's images that go to the split `eval`, chosen by their names.
    """
    if name not in LAYOUTS:
        raise DataError(f"{name}: there is no such recipe; give one of {', '.join(LAYOUTS)}")
    if name == "folder":
        return _folder(where, hold_out)
    if hold_out:
        raise DataError(f"{name}: has splits of its own; --hold-out is for folder")
    if not Path(where).is_dir():
        raise DataError(f"{where}: there is no such folder; give the one {name} was unpacked into")
    return LAYOUTS[name](Path(where))


def _numbered(root: Path, *, digits: tuple[int, ...], split: str, title: str) -> Layout:
    """Take the images named by a number: in one folder, or in folders by the thousand."""
    paths = _images(root)
    fits = {path: path.stem.isdecimal() and len(path.stem) in digits for path in paths}
    good = [path for path in paths if fits[path]]
    strangers = [(str(path), f"not a name of {title}: a number was expected") for path in paths if not fits[path]]
    keys = [path.stem.zfill(5) for path in good]
    _refuse_twins(good, keys)
    if not good:
        raise DataError(f"{root}: holds no images of {title} (numbers such as 00000.png); give the folder of them")
    items = [Item(index, key, split) for index, key in enumerate(keys)]
    return Layout(FolderSource(good, root), items, strangers)


def _ffhq(root: Path) -> Layout:
    return _numbered(root, digits=(5,), split="train", title="FFHQ")


def _celeba_hq(root: Path) -> Layout:
    return _numbered(root, digits=(1, 2, 3, 4, 5), split="eval", title="CelebA-HQ")


def _imagenet(root: Path) -> Layout:
    base = next((place for place in (root, root / "ILSVRC/Data/CLS-LOC") if (place / "train").is_dir()), None)
    base = base or next((place for place in (root, root / "ILSVRC/Data/CLS-LOC") if (place / "val").is_dir()), None)
    if base is None:
        raise DataError(f"{root}: holds neither train nor val (or ILSVRC/Data/CLS-LOC/...); give ImageNet's folder")
    named = {split: _by_class(base / split) for split in ("train", "val")}
    flat = [path for path in _images(base / "val", below=False)] if (base / "val").is_dir() else []
    answers = _answers(root) if flat else {}
    wnids = sorted({wnid for found in named.values() for wnid, _ in found} | set(answers.values()))
    if len(wnids) != _IMAGENET_CLASSES:
        warnings.warn(
            f"{root}: {len(wnids)} classes, not {_IMAGENET_CLASSES}, so class indices differ from ImageNet's usual "
            "ones",
            stacklevel=2,
        )
    number = {wnid: label for label, wnid in enumerate(wnids)}
    paths: list[Path] = []
    items: list[Item] = []
    strangers: list[tuple[str, str]] = []
    for split, found in named.items():
        for wnid, path in found:
            items.append(Item(len(paths), _key(path.name), split, number[wnid]))
            paths.append(path)
    for path in flat:
        if path.stem not in answers:
            strangers.append((str(path), "not in LOC_val_solution.csv, so its class is not known"))
            continue
        items.append(Item(len(paths), _key(path.name), "val", number[answers[path.stem]]))
        paths.append(path)
    _refuse_twins(paths, [f"{item.split}/{item.key}" for item in items])
    return Layout(FolderSource(paths, base), items, strangers)


def _by_class(folder: Path) -> list[tuple[str, Path]]:
    """List (wnid, path) of the folders n01440764 ... below."""
    wnids = sorted(path for path in folder.glob("n*") if path.is_dir() and path.name[1:].isdecimal())
    return [(wnid.name, path) for wnid in wnids for path in _images(wnid)]


def _answers(root: Path) -> dict[str, str]:
    """Read the classes of a flat val folder: image name to wnid."""
    path = root / "LOC_val_solution.csv"
    if not path.is_file():
        raise DataError(
            f"{root}: val is one flat folder without classes; put LOC_val_solution.csv into this folder, or sort val "
            "into one folder per class"
        )
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path}: is not ImageNet's table of ImageId and PredictionString; download it again"
        ) from error


def _folder(where: str, hold_out: float) -> Layout:
    source = open_source(where)
    items: list[Item] = []
    for index in range(len(source)):
        name = source.name(index)
        key = _key(str(Path(name).relative_to(where)) if isinstance(source, FolderSource) else _member(source, index))
        split = "eval" if _share(key) < hold_out else "train"
        items.append(Item(index, key, split, source.label(index)))
    _refuse_twins([Path(source.name(item.index)) for item in items], [item.key for item in items])
    return Layout(source, items, [])


def _key(relative: str) -> str:
    """Create a name that a shard's reader takes whole: without dots, which part a member's kind from its key."""
    return str(Path(relative).with_suffix("")).replace(".", "_").replace("/", "__")


def _member(source: Source, index: int) -> str:
    return source.members[index].name if isinstance(source, ShardSource) else source.name(index)


def _share(key: str) -> float:
    """Place a name in [0, 1) by its hash, so that a split stays when images are added."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]) / 2**64


def _images(folder: Path, *, below: bool = True) -> list[Path]:
    """List the images of a folder, and of those below it, linked ones too; what cannot be read is found out later."""
    if not below:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir())
    return files_below(folder, SUFFIXES)


def _refuse_twins(paths: Sequence[Path], keys: Sequence[str]) -> None:
    seen: dict[str, Path] = {}
    for path, key in zip(paths, keys, strict=True):
        if key in seen:
            raise DataError(f"{path}: would have the same name in the shards as {seen[key]}; rename one")
        seen[key] = path


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "ffhq": _ffhq,
    "celeba-hq": _celeba_hq,
    "imagenet": _imagenet,
    "folder": lambda path: _folder(str(path), 0.0),
}
"""Readers of data sets by name."""
