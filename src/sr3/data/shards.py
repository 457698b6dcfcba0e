"""One shard of prepared images, written atomically, with a record of what went in and what did not."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from sr3.atomic import whole_file
from sr3.data.decoding import decode_pixels
from sr3.data.layouts import Item
from sr3.data.sources import NO_LABEL, Source, stamp
from sr3.digest import digest_of
from sr3.errors import DataError, UnusableError
from sr3.images.resize import downsample, resize

__all__ = ["RECORDS", "Preparation", "Report", "Shard", "make_shard", "prepare_image", "printable"]

RECORDS = "records"
"""Folder of the records, beside those of the splits."""


@dataclass(frozen=True)
class Preparation:
    """How images are prepared.

    size: side of the high-resolution image. scale: how much smaller the low-resolution image is; 1 writes none.
    upright: carry out turns named by EXIF. per_shard: images in a shard. hold_out: share kept for evaluation.
    """

    recipe: str
    size: int
    scale: int
    upright: bool = False
    per_shard: int = 1000
    hold_out: float = 0.0


@dataclass(frozen=True)
class Shard:
    """One shard to make: its name, its images, and where they come from, which holds no others."""

    name: str
    split: str
    items: Sequence[Item]
    source: Source

    @property
    def path(self) -> Path:
        """Its place below the folder of all."""
        return Path(self.split, f"{self.name}.tar")

    @property
    def record(self) -> Path:
        """The place of its record."""
        return Path(RECORDS, f"{self.name}.json")

    def inputs(self) -> str:
        """Hash what goes in: names, classes, and by size and time the files."""
        digest = hashlib.sha256()
        for item in self.items:
            text = f"{item.key}\0{item.label}\0{stamp(self.source, item.index)}\n"
            digest.update(text.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


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
    """Create the high- and the low-resolution image of (c, h, w) uint8, both uint8 and square."""
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[:, top : top + side, left : left + side].float()
    high = _rounded(resize(square, preparation.size, preparation.size, method="area"))
    return high, _rounded(downsample(high.float(), preparation.scale))


def make_shard(shard: Shard, out: Path, preparation: Preparation) -> Report:
    """Write a shard and the record of it, unless both are there, of the same inputs and without failures.

    Raises DataError when the disk refuses.
    """
    inputs = shard.inputs()
    there = _finished(out, shard, inputs)
    if there is not None:
        return there
    written = 0
    dropped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    path = out / shard.path
    try:
        with whole_file(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for item in shard.items:
                name = printable(shard.source.name(item.index))
                try:
                    image = _decoded(shard.source.read(item.index), name, upright=preparation.upright)
                except DataError as error:
                    failed.append((name, printable(str(error))))
                    continue
                height, width = image.shape[-2:]
                if min(height, width) < preparation.size:
                    dropped.append((name, f"is {width}x{height}, its shorter side is below {preparation.size}"))
                    continue
                written += 1
                high, low = prepare_image(image.expand(3, -1, -1), preparation)
                _add(tar, item, high, low if preparation.scale > 1 else None)
        report = Report(
            shard=shard.name, written=written, dropped=dropped, failed=failed, sha256=digest_of(path), inputs=inputs
        )
        with whole_file(out / shard.record) as temporary:
            temporary.write_text(report.model_dump_json(), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); free space and run the same again") from error
    return report


def _decoded(data: bytes, name: str, *, upright: bool) -> Tensor:
    """Decode an image to uint8 (c, h, w), grey or RGB; UnusableError for more bits or bands than a shard holds."""
    pixels = decode_pixels(data, name, upright=upright)
    if pixels.step != 1:
        raise UnusableError(
            f"{name}: has more than 8 bits per channel, and prepared images hold 8; convert or remove it"
        )
    if len(pixels.values) not in (1, 3):
        raise UnusableError(f"{name}: has {len(pixels.values)} bands, and prepared images are grey or RGB; remove it")
    return pixels.values


def printable(name: str) -> str:
    """Escape what a file's name may hold and JSON may not."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


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


def _finished(out: Path, shard: Shard, inputs: str) -> Report | None:
    """Find a shard made before of the same inputs, whole and without failures."""
    try:
        report = Report.model_validate_json((out / shard.record).read_bytes())
        whole = report.inputs == inputs and report.sha256 == digest_of(out / shard.path)
    except (OSError, ValueError):
        return None
    return report.model_copy(update={"was_there": True}) if whole and not report.failed else None
