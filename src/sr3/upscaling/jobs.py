"""Upscaling of files: one image after the other, with all requested outputs of each.

`upscale_files` is a generator of what happens, so that progress is shown, and work stopped, by whoever reads it.
An image that cannot be done is reported and the others go on.
"""

import errno
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sr3.atomic import remove_leftovers
from sr3.errors import ImageError
from sr3.images.bands import ARRAY_SUFFIX, BAND_SUFFIXES, band_size, read_bands
from sr3.images.files import LOSSY_SUFFIXES, Picture, check_can_hold, picture_size, read_picture
from sr3.images.georeference import NO_DATA_TAG
from sr3.images.scenes import open_scene
from sr3.sampling.upscaler import Upscaler
from sr3.upscaling.channels import blank_result
from sr3.upscaling.drawing import Request, Written, draw
from sr3.upscaling.jpeg_quality import with_strength
from sr3.upscaling.manifest import Manifest
from sr3.upscaling.memory import (
    BYTES_PER_PIXEL,
    bytes_of,
    bytes_of_other_bands,
    check_disk,
    check_fits,
    check_time,
    choose_tile,
    predict_seconds,
    smaller_tile,
)
from sr3.upscaling.naming import Job
from sr3.upscaling.result_preview import ResultPreview
from sr3.upscaling.results import holds_bands, make_folder
from sr3.upscaling.scene import draw_scene
from sr3.upscaling.sizing import Enlargement, Sizing

__all__ = ["Done", "Failed", "FileEvent", "Refined", "Retried", "Skipped", "upscale_files"]


@dataclass(frozen=True)
class Refined:
    """A step of a sample has been taken: so many of those of all samples.

    sample: which of them, from 0. preview: the estimate after the step, to be read before the next; none of a scene.
    """

    job: Job
    step: int
    steps: int
    sample: int = 0
    preview: ResultPreview | None = None


@dataclass(frozen=True)
class Retried:
    """The memory ran out; the image is begun again in smaller windows."""

    job: Job
    tile: int


@dataclass(frozen=True)
class Done:
    """An image's results are written. Sizes are (width, height) in pixels.

    apart: the numbers, from 0, of the two samples that differ most, where that was asked for. strength: how strongly
    the input was cleaned; None if the model does not clean.
    """

    job: Job
    written: tuple[Path, ...]
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    seconds: float
    apart: tuple[int, int] | None = None
    strength: float | None = None


@dataclass(frozen=True)
class Skipped:
    """All results of an image exist already."""

    job: Job


@dataclass(frozen=True)
class Failed:
    """An image could not be done; the reason is one line."""

    job: Job
    reason: str


FileEvent = Refined | Retried | Done | Skipped | Failed


def upscale_files(
    upscaler: Upscaler, jobs: Sequence[Job], request: Request, manifest: Manifest | None = None
) -> Iterator[FileEvent]:
    """Do the jobs in order and yield what happens; a job that fails is yielded as `Failed`.

    What a process that was killed has left in the folders of the results is removed first.

    manifest: where each job that was done or failed is recorded; results that were made from another input or with
    other settings, by its record, are made again.
    """
    for folder in {job.target.parent for job in jobs}:
        remove_leftovers(folder)
    for job in jobs:
        asked = request
        if manifest is not None and manifest.is_outdated(job):
            asked = replace(request, overwrite=True)
        if not asked.overwrite and _exist(request.outputs.all_of(job.target)):
            yield Skipped(job)
            continue
        for event in _reported(upscaler, job, asked):
            if manifest is not None:
                _note(manifest, event)
            yield event


def _exist(paths: Sequence[Path]) -> bool:
    try:
        return all(path.exists() for path in paths)
    except OSError:  # a name that is too long, which writing says
        return False


def _reported(upscaler: Upscaler, job: Job, request: Request) -> Iterator[FileEvent]:
    """Do one job; what goes wrong becomes an event."""
    try:
        upscale = _upscale_scene if request.outputs.scene else _upscale_file
        yield from upscale(with_strength(upscaler, job.source, request.restoration), job, request)
    except ImageError as error:
        yield Failed(job, str(error))
    except OSError as error:
        yield Failed(job, f"{error.filename or job.source}: {error.strerror or error}; {_remedy(error)}")


def _note(manifest: Manifest, event: FileEvent) -> None:
    match event:
        case Done(job, written, size_in, size_out, seconds, _, strength):
            manifest.note_done(job, written, sizes=(size_in, size_out), seconds=seconds, strength=strength)
        case Failed(job, reason):
            manifest.note_failed(job, reason)
        case _:
            pass


def _remedy(error: OSError) -> str:
    """Describe what to do about a refusal of the system."""
    if error.errno == errno.ENAMETOOLONG:
        return "give a shorter name, with -o FILE or --name"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space, or give another -o"
    return "check the folder and its permissions"


def _upscale_file(upscaler: Upscaler, job: Job, request: Request) -> Iterator[FileEvent]:
    """Prepare, then draw and write; as long as the memory runs out, again in windows half as large."""
    began = time.monotonic()
    picture = _read(job.source, upscaler, request.sizing)
    size_in = (picture.width, picture.height)
    plan = request.sizing.plan(*size_in, upscaler.scale, job.source)
    _check_before(job, request, picture, plan)
    tile = choose_tile(upscaler, *plan.largest) if request.tile == "auto" else request.tile
    while True:
        try:
            if request.max_seconds < float("inf"):
                each = _predict(replace(upscaler, tile=tile), plan, request)
                check_time(job.source, each * request.outputs.samples, request.max_seconds)
            for state in draw(replace(upscaler, tile=tile), job, request, picture):
                if isinstance(state, Written):
                    seconds = time.monotonic() - began
                    yield Done(job, state.paths, size_in, plan.target, seconds, state.apart, state.strength)
                else:
                    yield Refined(job, state.done, state.total, state.sample, state.preview)
            return
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error):  # torch's own kind of MemoryError
                raise
        tile = smaller_tile(replace(upscaler, tile=tile), *plan.largest)
        if not tile:
            raise ImageError(f"{job.source}: the memory ran out; crop it or use a larger machine")
        yield Retried(job, tile)


def _upscale_scene(upscaler: Upscaler, job: Job, request: Request) -> Iterator[FileEvent]:
    """Draw and write a scene in windows, of which each is a step."""
    began = time.monotonic()
    with open_scene(job.source) as scene:
        width, height = scene.dataset.width, scene.dataset.height
    make_folder(job.target.parent)
    for state in draw_scene(upscaler, job, request):
        if isinstance(state, Written):
            size_out = (width * upscaler.scale, height * upscaler.scale)
            seconds = time.monotonic() - began
            yield Done(job, state.paths, (width, height), size_out, seconds, strength=state.strength)
        else:
            yield Refined(job, state.done, state.total)


def _predict(upscaler: Upscaler, plan: Enlargement, request: Request) -> float:
    """Estimate the seconds of all passes of a sample."""
    sizes = [(plan.width * plan.own**k, plan.height * plan.own**k) for k in range(1, plan.passes + 1)]
    ways = [request.sampling.of_pass(number) for number in range(plan.passes)]
    return sum(predict_seconds(upscaler, *size, way) for size, way in zip(sizes, ways, strict=True))


def _check_before(job: Job, request: Request, picture: Picture, plan: Enlargement) -> None:
    """Raise ImageError before the work when the result could not be held, written or stored; create its folder."""
    outputs, scale = request.outputs, plan.own**plan.passes
    kept = len(picture.pixels) * (outputs.samples + 8) if outputs.uncertainty else 0  # bytes of samples, and two sums
    kept += bytes_of(request.sampling.sampler.traits) - BYTES_PER_PIXEL
    bands = 6 if picture.space == "cmyk" else len(picture.pixels)  # the inks are two images
    check_fits(job.source, picture.width, picture.height, scale, extra=kept + bytes_of_other_bands(bands))
    blank = blank_result(picture, *plan.target)
    if not holds_bands(job.target, blank):
        check_can_hold(job.target, blank)
    files = [path for path in outputs.all_of(job.target) if request.overwrite or not path.exists()]
    size = blank.height * blank.width * (len(blank.pixels) + (blank.alpha is not None)) * (picture.depth / 8)
    share = 0.5 if job.target.suffix.lower() in LOSSY_SUFFIXES else 1.0
    check_disk(job.source, job.target.parent, share * size * len(files))
    make_folder(job.target.parent)


def _read(path: Path, upscaler: Upscaler, sizing: Sizing) -> Picture:
    """Read an array, or for a model of other than 1 or 3 bands any file of bands; else an image."""

    def check(width: int, height: int, channels: int) -> None:
        plan = sizing.plan(width, height, upscaler.scale, path)
        check_fits(path, width, height, plan.own**plan.passes, extra=bytes_of_other_bands(channels))

    of_bands = path.suffix.lower() in BAND_SUFFIXES and upscaler.info.image_channels not in (1, 3)
    if of_bands or path.suffix.lower() == ARRAY_SUFFIX:
        check(*band_size(path))
        picture = read_bands(path)
    else:
        check(*picture_size(path), 3)  # before the pixels, which may be many, are decoded
        picture = read_picture(path)
    if _holds_no_data(picture):
        text = "marks pixels that hold no data, and they are enlarged like all others; --geo keeps them apart"
        warnings.warn(f"{path}: {text}", stacklevel=2)
    return picture


def _holds_no_data(picture: Picture) -> bool:
    """Return whether some pixel of a GeoTIFF has in all bands the number that stands for none."""
    found = dict(picture.metadata.place).get(NO_DATA_TAG, "")
    try:
        number = float(found if isinstance(found, str) else found[0])
    except (ValueError, TypeError, IndexError):
        return False
    most = 1 if picture.depth == 32 else 2**picture.depth - 1
    return bool(((picture.pixels + 1) * (most / 2) - number).abs().lt(0.25).all(0).any())
