"""Input files to jobs, and the names of all result files."""

import os
import string
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sr3.data.folders import files_below
from sr3.errors import ConfigError, ImageError
from sr3.images.bands import ARRAY_SUFFIX, band_size
from sr3.images.files import PICTURE_SUFFIXES, WRITABLE_SUFFIXES, list_pictures, picture_size
from sr3.upscaling.sizing import OWN_SIZE, Sizing

__all__ = ["ONE_SAMPLE", "Job", "Naming", "Outputs", "plan_jobs"]

_SUFFIXES = (*WRITABLE_SUFFIXES, ARRAY_SUFFIX)
_FIELDS = ("stem", "suffix", "scale", "model")


@dataclass(frozen=True)
class Job:
    """An image file and the file its result goes to."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outputs:
    """What is written for each image: its samples, what they say together, and the way from noise to the first.

    scene: of georeferenced rasters, whose mean and deviation are rasters too.
    """

    samples: int = 1
    uncertainty: bool = False
    process: bool = False
    scene: bool = False

    def samples_of(self, target: Path) -> list[Path]:
        """Name the samples: the target itself, or numbered from 1."""
        if self.samples == 1 and not self.uncertainty:
            return [target]
        return [_beside(target, str(k + 1)) for k in range(self.samples)]

    def summaries_of(self, target: Path) -> list[Path]:
        """Name the mean, the map of the deviation and the two samples that differ most; none if not asked for."""
        if not self.uncertainty:
            return []
        if self.scene:
            return [_beside(target, word) for word in ("mean", "deviation")]
        first, second = (_beside(target, f"apart-{k}") for k in (1, 2))
        return [_beside(target, "mean"), _beside(target, "deviation", ".png"), first, second]

    def processes_of(self, target: Path) -> list[Path]:
        """Name the strip and the animation of the refinement; none if not asked for."""
        return [_beside(target, "process", suffix) for suffix in (".png", ".webp")] if self.process else []

    def all_of(self, target: Path) -> list[Path]:
        """Name every file of a result."""
        return [*self.samples_of(target), *self.summaries_of(target), *self.processes_of(target)]


ONE_SAMPLE = Outputs()
"""One sample of each image, and nothing beside it."""


def _beside(target: Path, word: str, suffix: str = "same") -> Path:
    return target.with_name(f"{target.stem}-{word}{target.suffix if suffix == 'same' else suffix}")


@dataclass(frozen=True)
class Naming:
    """How results in a folder are called.

    pattern: with {stem}, {scale}, {model} and {suffix}; the suffix is added where the pattern has none.
    format: a suffix without its dot, or "same" for the input's. scale: the model's own magnification. sizing: the size
    that is asked for, by which {scale} is the real one.
    """

    pattern: str = "{stem}"
    format: str = "same"
    scale: int = 1
    model: str = ""
    sizing: Sizing = OWN_SIZE

    def check(self) -> None:
        """Raise ConfigError for a format that is not written and a pattern that gives no name."""
        if self.format != "same" and f".{self.format.lower()}" not in _SUFFIXES:
            known = ", ".join(suffix[1:] for suffix in _SUFFIXES)
            raise ConfigError(f"--format {self.format}: is not a format sr3 writes; give one of {known}")
        try:
            parts = [part[1:] for part in string.Formatter().parse(self.pattern) if part[1] is not None]
        except ValueError as error:
            raise ConfigError(f"--name {self.pattern}: {error}; write it like {{stem}}-x{{scale}}") from error
        if unknown := [field for field, _, _ in parts if field not in _FIELDS]:
            known = ", ".join(f"{{{field}}}" for field in _FIELDS)
            raise ConfigError(f"--name {self.pattern}: there is no {{{unknown[0]}}}; give one of {known}")
        if any(form or conversion for _, form, conversion in parts):
            raise ConfigError(
                f"--name {self.pattern}: takes no : and no ! in braces; write it like {{stem}}-x{{scale}}"
            )
        made = self.pattern and self.name(Path("a.png"))
        if not made or "/" in made or "\\" in made:
            raise ConfigError(
                f"--name {self.pattern}: {made!r} cannot be a file name; write it like {{stem}}-x{{scale}}"
            )

    def name(self, source: Path) -> str:
        """Call the result of an image."""
        keeps = source.suffix.lower() in _SUFFIXES
        suffix = f".{self.format.lower()}" if self.format != "same" else source.suffix if keeps else ".png"
        stem = source.stem if keeps or self.format != "same" else source.name
        name = self.pattern.format(stem=stem, suffix=suffix, scale=self._scale_of(source), model=self.model)
        return name if "{suffix}" in self.pattern else name + suffix

    def _scale_of(self, source: Path) -> str:
        """Return how many times as wide and high the result of an image is."""
        if "{scale}" not in self.pattern or self.sizing.is_own:
            return str(self.scale)
        if self.sizing.scale is not None:
            return f"{self.sizing.scale:g}"
        try:
            is_array = source.suffix.lower() == ARRAY_SUFFIX
            width, height = band_size(source)[:2] if is_array else picture_size(source)
            return f"{max(self.sizing.plan(width, height, self.scale, source).ratio):.3g}"
        except (ImageError, OSError):  # which is said when the image is read
            return str(self.scale)


def plan_jobs(
    inputs: Sequence[Path], output: Path | None, *, outputs: Outputs, naming: Naming, recursive: bool = False
) -> list[Job]:
    """Pair every input file, and every image in input folders, with its output file.

    recursive: also those in folders below, linked folders too, into folders of the same names below the output; the
    output itself is left out where it lies there.

    output is a folder, or an image's path when there is one input file; without one each result goes beside its input
    file, as NAME-x4. Raises ImageError when two results would have
    one name, or one would replace an input; ConfigError as `Naming.check` does, and for names where output is a file.
    """
    naming.check()
    if output is None:
        return _beside_inputs(inputs, outputs=outputs, naming=naming)
    if len(inputs) == 1 and not _is_folder(inputs[0]) and output.suffix and not _is_folder(output):
        if output.suffix.lower() not in _SUFFIXES:
            raise ImageError(
                f"{output}: {output.suffix} is not a format sr3 writes ({', '.join(WRITABLE_SUFFIXES)}); "
                "if it is to be a folder, create it first"
            )
        if naming.pattern != Naming.pattern or naming.format not in ("same", output.suffix[1:].lower()):
            raise ConfigError(f"{output}: is a file, so it is the name and the format; leave out --name and --format")
        jobs = [Job(inputs[0], output)]
    else:
        jobs = [
            Job(source, output / place / naming.name(source))
            for path in inputs
            for source, place in _sources(path, output, recursive=recursive)
        ]
    _check_distinct(jobs, outputs)
    return jobs


def _sources(path: Path, output: Path, *, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Return the images of an input, each with the folder of its result below the output."""
    if not _is_folder(path):
        yield path, Path()
    elif not recursive:
        yield from ((source, Path()) for source in list_pictures(path))
    else:
        results = Path(os.path.realpath(output))
        below = files_below(path, PICTURE_SUFFIXES, on_error=_warn_of_folder)
        found = [source for source in below if results not in _real_parents(source.parent)]
        if below and not found:
            raise ImageError(
                f"{path}: all its images are in {output}, where the results go; give another folder with -o"
            )
        if not found:
            raise ImageError(f"{path}: neither it nor its subfolders hold an image; check the path")
        yield from ((source, source.parent.relative_to(path)) for source in found)


def _warn_of_folder(error: OSError) -> None:
    """Leave out a folder that cannot be listed; the others are not stopped by it."""
    warnings.warn(f"{error.filename}: cannot be read ({error.strerror}), so it is left out", stacklevel=2)


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder; a path that may not be looked at is said when it is read."""
    try:
        return path.is_dir()
    except OSError:
        return False


@cache
def _real_parents(folder: Path) -> frozenset[Path]:
    """Return a folder and all that it lies in, links resolved."""
    real = Path(os.path.realpath(folder))
    return frozenset((real, *real.parents))


def _beside_inputs(inputs: Sequence[Path], *, outputs: Outputs, naming: Naming) -> list[Job]:
    """Put each result beside its input, under another name; ConfigError for folders, which would grow by every run."""
    if folders := [path for path in inputs if _is_folder(path)]:
        raise ConfigError(f"{folders[0]}: is a folder, so say where its results go: -o FOLDER")
    if naming.pattern == Naming.pattern:
        naming = replace(naming, pattern="{stem}-x{scale}")
    jobs = [Job(source, source.parent / naming.name(source)) for source in inputs]
    _check_distinct(jobs, outputs)
    return jobs


def _check_distinct(jobs: Iterable[Job], outputs: Outputs) -> None:
    seen: dict[Path, Path] = {}
    jobs = list(jobs)
    for job in jobs:
        for target in outputs.all_of(job.target.absolute()):
            if target in seen:
                raise ImageError(
                    f"{seen[target]} and {job.source} would both become {target}; upscale one of them into another -o"
                )
            seen[target] = job.source
    inputs = {identity for job in jobs if (identity := _identity(job.source))}
    for job in jobs:
        if any(_identity(target) in inputs for target in outputs.all_of(job.target)):
            raise ImageError(f"{job.target}: the result would replace an input; give another folder with -o")


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell a file from all others, whatever path leads to it; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
