"""The paper's preparation of images (SR3, arXiv:2104.07636, section 4 and appendix B), into WebDataset shards.

An image whose shorter side is below the target is dropped; of the others the largest central square is shrunk by area
to the target, and that by antialiased bicubic to the low-resolution image. All roundings are to 8 bits.

A shard is made whole or not at all, with a record beside it of what went in and what did not; a command that is
stopped goes on with the shards that are missing, and those in which something failed.
"""

import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from sr3.atomic import whole_file
from sr3.data.decoding import decode_image
from sr3.data.layouts import Item, Layout
from sr3.data.sources import NO_LABEL, Source, narrowed
from sr3.errors import DataError
from sr3.images.resize import downsample, resize

__all__ = ["Preparation", "Report", "Shard", "prepare", "prepare_image"]

MANIFEST = "manifest.json"
_SHUFFLE_SEED = 0


@dataclass(frozen=True)
class Preparation:
    """How images are prepared.

    size: side of the high-resolution image. scale: how much smaller the low-resolution image is; 1 writes none.
    upright: carry out turns named by EXIF. per_shard: images in a shard.
    """

    recipe: str
    size: int
    scale: int
    upright: bool = False
    per_shard: int = 1000


@dataclass(frozen=True)
class Shard:
    """One shard to make: its name, its images, and where they come from, which holds no others."""

    name: str
    split: str
    items: Sequence[Item]
    source: Source


class Report(BaseModel):
    """What became of the images of a shard: how many were written, which were dropped and which failed, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard: str
    written: int
    dropped: list[tuple[str, str]]
    failed: list[tuple[str, str]]
    sha256: str
    inputs: str
    """Hash of what went in."""
    was_there: bool = False


def prepare_image(image: Tensor, preparation: Preparation) -> tuple[Tensor, Tensor]:
    """Make the high- and the low-resolution image of (c, h, w) uint8, both uint8 and square."""
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[:, top : top + side, left : left + side].float()
    high = _rounded(resize(square, preparation.size, preparation.size, method="area"))
    return high, _rounded(downsample(high.float(), preparation.scale))


def prepare(layout: Layout, out: Path, preparation: Preparation, *, workers: int = 1) -> Iterator[Report]:
    """Make the shards of a data set and its manifest; yields a report for each shard as it is there.

    Raises DataError when the folder holds something else, or was prepared in another way.
    """
    if preparation.size % preparation.scale:
        raise DataError(f"size {preparation.size} is not a multiple of scale {preparation.scale}; change one")
    _open_folder(out, preparation)
    shards = _plan(layout, preparation)
    reports: dict[str, Report] = {}
    missing: list[Shard] = []
    for shard in shards:
        there = _finished(out, shard)
        if there is None:
            missing.append(shard)
        else:
            reports[shard.name] = there
            yield there
    for report in _make_all(missing, out, preparation, workers):
        reports[report.shard] = report
        yield report
    _write_manifest(out, preparation, layout, [reports[shard.name] for shard in shards], shards)


def _plan(layout: Layout, preparation: Preparation) -> list[Shard]:
    """Deal the images of each split to shards: shuffled for training, so that a shard is a fair sample; else as is."""
    shards: list[Shard] = []
    for split in dict.fromkeys(item.split for item in layout.items):
        own = [item for item in layout.items if item.split == split]
        if split == "train":
            random.Random(_SHUFFLE_SEED).shuffle(own)
        for number, start in enumerate(range(0, len(own), preparation.per_shard)):
            part = own[start : start + preparation.per_shard]
            source = narrowed(layout.source, [item.index for item in part])
            items = [replace(item, index=place) for place, item in enumerate(part)]
            shards.append(Shard(f"{split}-{number:05d}.tar", split, items, source))
    return shards


def _make_all(shards: Sequence[Shard], out: Path, preparation: Preparation, workers: int) -> Iterator[Report]:
    if workers == 1 or len(shards) < 2:
        for shard in shards:
            yield _make(shard, out, preparation)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        waiting: list[Future[Report]] = [pool.submit(_make, shard, out, preparation) for shard in shards]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _make(shard: Shard, out: Path, preparation: Preparation) -> Report:
    """Write a shard and the record of it."""
    written = 0
    dropped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    path = out / shard.name
    with whole_file(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        for item in shard.items:
            name = shard.source.name(item.index)
            try:
                image = decode_image(shard.source.read(item.index), name, upright=preparation.upright)
            except DataError as error:
                failed.append((name, str(error)))
                continue
            height, width = image.shape[-2:]
            if min(height, width) < preparation.size:
                dropped.append((name, f"is {width}x{height}, its shorter side is below {preparation.size}"))
                continue
            written += 1
            high, low = prepare_image(image.expand(3, -1, -1), preparation)
            _add(tar, item, high, low if preparation.scale > 1 else None)
    report = Report(
        shard=shard.name, written=written, dropped=dropped, failed=failed, sha256=_hash(path), inputs=_inputs(shard)
    )
    with whole_file(_record_path(out, shard)) as temporary:
        temporary.write_text(report.model_dump_json(), encoding="utf-8")
    return report


def _add(tar: tarfile.TarFile, item: Item, high: Tensor, low: Tensor | None) -> None:
    members = {"png": _png(high)}
    if low is not None:
        members["lr.png"] = _png(low)
    if item.label != NO_LABEL:
        members["cls"] = str(item.label).encode()
    for suffix, data in members.items():
        entry = tarfile.TarInfo(f"{item.key}.{suffix}")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def _rounded(image: Tensor) -> Tensor:
    return image.round().clamp(0, 255).byte()


def _record_path(out: Path, shard: Shard) -> Path:
    return out / "records" / f"{Path(shard.name).stem}.json"


def _inputs(shard: Shard) -> str:
    """Hash the names, sizes and classes of what goes into a shard."""
    digest = hashlib.sha256()
    for item in shard.items:
        name = shard.source.name(item.index)
        size = os.path.getsize(name) if os.path.exists(name) else 0
        digest.update(f"{name}\0{size}\0{item.key}\0{item.label}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _finished(out: Path, shard: Shard) -> Report | None:
    """Find a shard made before of the same inputs, whole and without failures."""
    try:
        report = Report.model_validate_json(_record_path(out, shard).read_bytes())
        whole = report.inputs == _inputs(shard) and report.sha256 == _hash(out / shard.name)
    except (OSError, ValueError):
        return None
    return report.model_copy(update={"was_there": True}) if whole and not report.failed else None


def _open_folder(out: Path, preparation: Preparation) -> None:
    """Create the folder, or check that what it holds was prepared in the same way."""
    settings, path = asdict(preparation), out / "preparation.json"
    if path.is_file():
        try:
            before: object = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != settings:
            raise DataError(f"{out}: was prepared with other settings ({before}); give another OUT")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and was not made by sr3 prepare; give a new folder")
    try:
        (out / "records").mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(settings), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error


def _write_manifest(
    out: Path, preparation: Preparation, layout: Layout, reports: Iterable[Report], shards: Iterable[Shard]
) -> None:
    """Say what is in the folder: settings, a count and hash a shard, and what is missing and why."""
    rows = list(zip(reports, shards, strict=True))
    manifest = {
        "format": 1,
        "settings": asdict(preparation),
        "high_resolution": "largest central square, shrunk by area, 8-bit PNG: KEY.png",
        "low_resolution": "antialiased bicubic of that, 8-bit PNG: KEY.lr.png" if preparation.scale > 1 else "none",
        "images": {
            split: sum(report.written for report, shard in rows if shard.split == split)
            for split in dict.fromkeys(shard.split for _, shard in rows)
        },
        "classes": len({item.label for item in layout.items} - {NO_LABEL}),
        "shards": [{"name": r.shard, "images": r.written, "sha256": r.sha256} for r, _ in rows],
        "dropped": [*(list(pair) for r, _ in rows for pair in r.dropped), *(list(pair) for pair in layout.strangers)],
        "failed": [list(pair) for r, _ in rows for pair in r.failed],
    }
    with whole_file(out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
