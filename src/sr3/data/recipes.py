"""The paper's preparation of images (SR3, arXiv:2104.07636, section 4 and appendix B), into WebDataset shards.

An image whose shorter side is below the target is dropped; of the others the largest central square is shrunk by area
to the target, and that by antialiased bicubic to the low-resolution image. All roundings are to 8 bits. Every split has
a folder of its own. A command that is stopped continues with the shards that are missing, and those in which something
failed.
"""

import json
import random
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from sr3.atomic import whole_file
from sr3.data.layouts import Layout
from sr3.data.shards import RECORDS, Preparation, Report, Shard, make_shard, printable
from sr3.data.sources import NO_LABEL, narrowed
from sr3.errors import DataError
from sr3.parsing import parse_json

__all__ = ["prepare"]

MANIFEST = "manifest.json"
_SHUFFLE_SEED = 0


def prepare(layout: Layout, out: Path, preparation: Preparation, *, workers: int = 1) -> Iterator[Report]:
    """Create the shards of a data set and its manifest; yields a report for each shard as it is there.

    Shards of an earlier command that are no longer part of the data set are removed. Raises DataError when the folder
    holds something else, was prepared in another way, or cannot be written.
    """
    if preparation.size % preparation.scale:
        raise DataError(f"size {preparation.size} is not a multiple of scale {preparation.scale}; change one of them")
    shards = _plan(layout, preparation)
    _open_folder(out, preparation, shards)
    reports: dict[str, Report] = {}
    for report in _make_all(shards, out, preparation, workers):
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
            shards.append(Shard(f"{split}-{number:05d}", split, items, source))
    return shards


def _make_all(shards: Sequence[Shard], out: Path, preparation: Preparation, workers: int) -> Iterator[Report]:
    if workers == 1 or len(shards) < 2:
        for shard in shards:
            yield make_shard(shard, out, preparation)
        return
    left = {shard.name: shard for shard in shards}
    try:
        for report in _in_processes(shards, out, preparation, workers):
            del left[report.shard]
            yield report
    except BrokenProcessPool:
        # One shard took a process down with it. Alone, each shows whether it was that one.
        for shard in left.values():
            try:
                yield from _in_processes([shard], out, preparation, 1)
            except BrokenProcessPool:
                yield _lost(shard)


def _in_processes(shards: Sequence[Shard], out: Path, preparation: Preparation, workers: int) -> Iterator[Report]:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_process) as pool:
        waiting = [pool.submit(make_shard, shard, out, preparation) for shard in shards]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work


def _lost(shard: Shard) -> Report:
    """Report a shard whose process died: all its images failed, and the same command tries again."""
    reason = "its process was killed, perhaps because memory ran out; run the same command again with --workers 1"
    names = [printable(shard.source.name(item.index)) for item in shard.items]
    return Report(
        shard=shard.name,
        written=0,
        dropped=[],
        failed=[(name, f"{name}: {reason}") for name in names],
        sha256="",
        inputs="",
    )


def _open_folder(out: Path, preparation: Preparation, shards: Sequence[Shard]) -> None:
    """Create the folders, or check that they were prepared in the same way; remove what is no longer part."""
    settings, path = asdict(preparation), out / "preparation.json"
    if path.is_file():
        try:
            before: object = parse_json(path.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != settings and not _removed_if_empty(out):
            raise DataError(f"{out}: was prepared with other settings ({before}); give another OUT")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and was not made by sr3 prepare; give a new folder")
    try:
        (out / RECORDS).mkdir(parents=True, exist_ok=True)
        for abandoned in out.rglob(".sr3-*"):  # a command that was killed
            abandoned.unlink()
        for split in {shard.split for shard in shards}:
            (out / split).mkdir(exist_ok=True)
        expected = {out / path for shard in shards for path in (shard.path, shard.record)}
        for stale in {*out.glob("*/*.tar"), *(out / RECORDS).glob("*.json")} - expected:
            stale.unlink()
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(settings), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error


def _removed_if_empty(out: Path) -> bool:
    """Remove shards and records of a preparation that no image was fit for, so that another may take its place."""
    try:
        images = parse_json((out / "manifest.json").read_text(encoding="utf-8"))["images"]
        if any(images.values()):
            return False
        for stale in (*out.glob("*/*.tar"), *(out / RECORDS).glob("*.json"), out / "manifest.json"):
            stale.unlink()
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    return True


def _write_manifest(
    out: Path, preparation: Preparation, layout: Layout, reports: Iterable[Report], shards: Iterable[Shard]
) -> None:
    """Describe what is in the folder: settings, a count and hash per shard, and what is missing and why."""
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
        "shards": [{"name": str(s.path), "images": r.written, "sha256": r.sha256} for r, s in rows],
        "dropped": [
            *(list(pair) for report, _ in rows for pair in report.dropped),
            *([printable(name), reason] for name, reason in layout.strangers),
        ],
        "failed": [list(pair) for r, _ in rows for pair in r.failed],
    }
    with whole_file(out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
