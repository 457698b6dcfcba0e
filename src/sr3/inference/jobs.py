"""Files in, files out: what is to be upscaled and where it goes, one picture after the other.

`upscale_files` is a generator of what happens, so that progress is shown, and work stopped, by whoever reads it.
A picture that cannot be done is reported and the others go on.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.errors import ImageError
from sr3.images.alpha import fill_transparent
from sr3.images.files import (
    PICTURE_SUFFIXES,
    WRITABLE_SUFFIXES,
    Picture,
    list_pictures,
    read_picture,
    write_picture,
)
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


def plan_jobs(inputs: Sequence[Path], output: Path) -> list[Job]:
    """Pair every input file, and every picture in input folders, with its output file.

    output is a folder, or a picture's path when there is one input file. Results keep their names; formats that
    are only read become PNG. Raises ImageError when two results would have one name, or one would replace an input.
    """
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and output.suffix.lower() in WRITABLE_SUFFIXES and not output.is_dir():
        jobs = [Job(inputs[0], output)]
    elif single and output.suffix and not output.exists() and output.suffix.lower() != inputs[0].suffix.lower():
        raise ImageError(
            f"{output}: {output.suffix} is not a format sr3 writes; use {', '.join(WRITABLE_SUFFIXES)}, or a folder"
        )
    else:
        sources = [p for path in inputs for p in (list_pictures(path) if path.is_dir() else [path])]
        jobs = [Job(source, output / _result_name(source)) for source in sources]
    _check_distinct(jobs)
    return jobs


def _result_name(source: Path) -> str:
    readable_only = source.suffix.lower() in PICTURE_SUFFIXES and source.suffix.lower() not in WRITABLE_SUFFIXES
    return f"{source.name}.png" if readable_only or not source.suffix else source.name


def _check_distinct(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.absolute()
        if target in seen:
            raise ImageError(f"{seen[target]} and {job.source} would both become {job.target}; run them apart")
        seen[target] = job.source
    for job in jobs:
        if job.target.exists() and any(other.source.exists() and job.target.samefile(other.source) for other in jobs):
            raise ImageError(f"{job.target}: the result would replace an input; give another folder with -o")


def upscale_files(upscaler: Upscaler, jobs: Sequence[Job], request: Request) -> Iterator[FileEvent]:
    """Do the jobs in order and yield what happens; a job that fails is yielded as `Failed`."""
    for job in jobs:
        try:
            yield from _upscale_file(upscaler, job, request)
        except ImageError as error:
            yield Failed(job, str(error))


def _upscale_file(upscaler: Upscaler, job: Job, request: Request) -> Iterator[FileEvent]:
    began = time.monotonic()
    targets = [_numbered(job.target, k, request.samples) for k in range(request.samples)]
    if not request.overwrite and all(target.exists() for target in targets):
        yield Skipped(job)
        return
    picture = read_picture(job.source)
    check_fits(job.source, picture.width, picture.height, upscaler.scale)
    low_res = to_condition(picture, upscaler)
    for k, target in enumerate(targets):
        seeds = [mix_seed(request.seed, k)] * len(low_res)
        image = low_res
        for step, guess in enumerate(upscaler.samples(low_res, sampling=request.sampling, seeds=seeds), start=1):
            image = guess
            yield Refined(job, k * request.sampling.steps + step, request.samples * request.sampling.steps)
        result = to_picture(image, picture, upscaler.scale)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(target, result)
    size = (picture.width, picture.height)
    size_out = (size[0] * upscaler.scale, size[1] * upscaler.scale)
    yield Done(job, tuple(targets), size, size_out, time.monotonic() - began)


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
