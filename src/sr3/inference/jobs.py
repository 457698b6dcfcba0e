"""Files in, files out: what is to be upscaled and where it goes, one picture after the other.

`upscale_files` is a generator of what happens, so that progress is shown, and work stopped, by whoever reads it.
A picture that cannot be done is reported and the others go on.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.errors import ImageError
from sr3.images.alpha import fill_transparent
from sr3.images.bands import ARRAY_SUFFIX, BAND_SUFFIXES, read_bands, write_bands
from sr3.images.files import WRITABLE_SUFFIXES, Picture, check_can_hold, list_pictures, read_picture, write_picture
from sr3.images.resize import upsample
from sr3.inference.memory import check_fits
from sr3.inference.upscaler import Upscaler

__all__ = [
    "Done",
    "Failed",
    "FileEvent",
    "Job",
    "Refined",
    "Request",
    "Skipped",
    "plan_jobs",
    "upscale_files",
]


@dataclass(frozen=True)
class Job:
    """A picture file and the file its result goes to."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Request:
    """How to sample every picture."""

    sampling: SamplingConfig
    seed: int = 0
    samples: int = 1
    overwrite: bool = False


@dataclass(frozen=True)
class Refined:
    """A step of a sample has been taken."""

    job: Job
    step: int
    steps: int


@dataclass(frozen=True)
class Done:
    """A picture's results are written. Sizes are (width, height) in pixels."""

    job: Job
    written: tuple[Path, ...]
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """All results of a picture exist already."""

    job: Job


@dataclass(frozen=True)
class Failed:
    """A picture could not be done; the reason is one line."""

    job: Job
    reason: str


FileEvent = Refined | Done | Skipped | Failed


def plan_jobs(inputs: Sequence[Path], output: Path, *, samples: int = 1) -> list[Job]:
    """Pair every input file, and every picture in input folders, with its output file.

    output is a folder, or a picture's path when there is one input file. Results keep their names; formats that
    are only read become PNG. Raises ImageError when two results would have one name, or one would replace an input.
    """
    if len(inputs) == 1 and not inputs[0].is_dir() and output.suffix and not output.is_dir():
        if output.suffix.lower() not in (*WRITABLE_SUFFIXES, ARRAY_SUFFIX):
            raise ImageError(
                f"{output}: {output.suffix} is not a format sr3 writes ({', '.join(WRITABLE_SUFFIXES)}); "
                "if it is to be a folder, create it first"
            )
        jobs = [Job(inputs[0], output)]
    else:
        sources = [p for path in inputs for p in (list_pictures(path) if path.is_dir() else [path])]
        jobs = [Job(source, output / _result_name(source)) for source in sources]
    _check_distinct(jobs, samples)
    return jobs


def _result_name(source: Path) -> str:
    keeps = source.suffix.lower() in (*WRITABLE_SUFFIXES, ARRAY_SUFFIX)
    return source.name if keeps else f"{source.name}.png"


def _check_distinct(jobs: Sequence[Job], samples: int) -> None:
    seen: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.absolute()
        if target in seen:
            raise ImageError(f"{seen[target]} and {job.source} would both become {job.target}; run them apart")
        seen[target] = job.source
    inputs = {identity for job in jobs if (identity := _identity(job.source))}
    for job in jobs:
        if any(_identity(_numbered(job.target, k, samples)) in inputs for k in range(samples)):
            raise ImageError(f"{job.target}: the result would replace an input; give another folder with -o")


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell a file from all others, whatever path leads to it; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def upscale_files(upscaler: Upscaler, jobs: Sequence[Job], request: Request) -> Iterator[FileEvent]:
    """Do the jobs in order and yield what happens; a job that fails is yielded as `Failed`."""
    for job in jobs:
        try:
            yield from _upscale_file(upscaler, job, request)
        except ImageError as error:
            yield Failed(job, str(error))
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error):  # torch's own kind of MemoryError
                raise
            yield Failed(job, f"{job.source}: the memory ran out; use a smaller --tile or a smaller picture")


def _upscale_file(upscaler: Upscaler, job: Job, request: Request) -> Iterator[FileEvent]:
    began = time.monotonic()
    targets = [_numbered(job.target, k, request.samples) for k in range(request.samples)]
    wanted = [k for k, target in enumerate(targets) if request.overwrite or not target.exists()]
    if not wanted:
        yield Skipped(job)
        return
    picture, steps = _read(job.source, upscaler), request.sampling.steps
    check_fits(job.source, picture.width, picture.height, upscaler.scale)
    low_res = to_condition(picture, upscaler)
    _check_target(job.target, picture, upscaler.scale)
    for done, k in enumerate(wanted):
        seeds, image = [mix_seed(request.seed, k)] * len(low_res), low_res
        for step, guess in enumerate(upscaler.samples(low_res, sampling=request.sampling, seeds=seeds), start=1):
            image = guess
            yield Refined(job, done * steps + step, len(wanted) * steps)
        _write(targets[k], to_picture(image, picture, upscaler.scale))
    size = (picture.width, picture.height)
    size_out = (size[0] * upscaler.scale, size[1] * upscaler.scale)
    yield Done(job, tuple(targets[k] for k in wanted), size, size_out, time.monotonic() - began)


def _read(path: Path, upscaler: Upscaler) -> Picture:
    """Read an array, or for a model of other than 1 or 3 bands any file of bands; else a picture."""
    of_bands = path.suffix.lower() in BAND_SUFFIXES and upscaler.info.image_channels not in (1, 3)
    return read_bands(path) if of_bands or path.suffix.lower() == ARRAY_SUFFIX else read_picture(path)


def _write(path: Path, picture: Picture) -> None:
    (write_bands if _holds_bands(path, picture) else write_picture)(path, picture)


def _holds_bands(path: Path, picture: Picture) -> bool:
    """Tell whether a result goes to a file of bands; ImageError for bands in a file that holds none."""
    suffix, count = path.suffix.lower(), len(picture.pixels)
    if count not in (1, 3) and suffix not in BAND_SUFFIXES:
        raise ImageError(f"{path}: cannot hold {count} bands; use one of {', '.join(BAND_SUFFIXES)}")
    return suffix == ARRAY_SUFFIX or (suffix in BAND_SUFFIXES and (count not in (1, 3) or picture.depth == 32))


def _check_target(target: Path, picture: Picture, scale: int) -> None:
    """Raise ImageError before the work when the result could not be written after it; create its folder."""
    height, width = picture.height * scale, picture.width * scale
    blank = torch.zeros(1, 1, 1, 1).expand(1, len(picture.pixels), height, width)
    if not _holds_bands(target, picture):
        check_can_hold(target, to_picture(blank, picture, scale))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{target.parent}: cannot be made a folder ({error.strerror}); give another -o") from error
    if not os.access(target.parent, os.W_OK):
        raise ImageError(f"{target.parent}: may not be written to by you; give another -o")


def _numbered(target: Path, k: int, samples: int) -> Path:
    return target if samples == 1 else target.with_name(f"{target.stem}-{k + 1}{target.suffix}")


def to_condition(picture: Picture, upscaler: Upscaler) -> Tensor:
    """Lay a picture out in the model's channels, shape (b, c, h, w).

    Grey pictures are repeated for a colour model; the colours of a colour picture are a batch for a grey model.
    Colours under full transparency are filled from their neighbours first.
    """
    pixels = picture.pixels if picture.alpha is None else fill_transparent(picture.pixels, picture.alpha)
    wanted, found = upscaler.info.image_channels, len(pixels)
    if found == wanted:
        return pixels[None]
    if found == 1:
        return pixels.expand(wanted, -1, -1)[None]
    if wanted == 1:
        return pixels[:, None]
    raise ImageError(f"the model {upscaler.info.name} has {wanted} channels, the picture {found}; use another model")


def to_picture(image: Tensor, picture: Picture, scale: int) -> Picture:
    """Bring a sample back to the input's channels, with its alpha enlarged and its metadata."""
    image = image.cpu()
    pixels = image[:, 0] if len(image) > 1 else image[0]
    if len(picture.pixels) == 1 and len(pixels) > 1:
        pixels = pixels.mean(0, keepdim=True)
    alpha = None if picture.alpha is None else upsample(picture.alpha, scale).clamp(0, 1)
    return replace(picture, pixels=pixels, alpha=alpha, metadata=picture.metadata.scaled(scale))
