"""An upload: its name, its file, and what is asked of it, checked as the command line checks files and options."""

import os
import re
import shutil
import unicodedata
from pathlib import Path
from typing import BinaryIO

from PIL import UnidentifiedImageError
from pydantic import ValidationError

from sr3.config.error_message import first_error
from sr3.errors import ConfigError, ImageError, Sr3Error
from sr3.images.bands import ARRAY_SUFFIX
from sr3.images.files import WRITABLE_SUFFIXES, picture_size, read_picture
from sr3.images.picture import Picture
from sr3.images.recorded_warnings import recorded_warnings
from sr3.parsing import parse_json
from sr3.sampling.plan import sampling_for
from sr3.upscaling.memory import check_fits
from sr3.upscaling.naming import Naming, Outputs
from sr3.upscaling.sizing import Sizing, parse_box
from sr3.web.job import Asked, command_of
from sr3.web.limits import Limits
from sr3.web.model_list import ModelList, Offered
from sr3.web.refused import Refused
from sr3.web.schema import InputView, JobSettings, OutputView

__all__ = ["ask", "clean_name", "parse_settings", "save_upload", "without_folder"]

_LONGEST_NAME = 100  # characters
_CHUNK = 2**20
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_MODES = {(1, False): "L", (1, True): "LA", (3, False): "RGB", (3, True): "RGBA"}


def parse_settings(text: str) -> JobSettings:
    """Read the settings of a job from JSON; Refused (422) names the setting that is wrong."""
    try:
        return JobSettings.model_validate(parse_json(text or "{}"))
    except ValidationError as error:
        raise Refused(422, f"settings: {first_error(error)}") from error
    except ValueError as error:
        raise Refused(422, f"settings: not valid JSON ({error}); send one object") from error


def clean_name(name: str) -> str:
    """Make a plain file name of what a client says a file is called."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in _NOT_IN_NAMES.sub("_", name) if c.isprintable()).rstrip(" .")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    stem = stem.strip(" .")
    room = _LONGEST_NAME - len(suffix[:10])
    while len(stem.encode()) > room:
        stem = stem[:-1]
    return f"{stem or 'image'}{dot}{suffix[:10]}"


def save_upload(file: BinaryIO, path: Path, limits: Limits) -> None:
    """Write an upload to the disk; Refused for one that is too large (413) or does not fit on the disk (503)."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    if size > limits.bytes:
        raise Refused(413, too_large(path.name, limits))
    if 2 * size > shutil.disk_usage(path.parent).free:
        raise Refused(503, f"{path.name}: the server's disk is nearly full; try again later")
    with path.open("wb") as saved:
        shutil.copyfileobj(file, saved, _CHUNK)


def too_large(name: str, limits: Limits) -> str:
    """Say that a file is too large."""
    return f"{name}: files have at most {limits.bytes / 2**20:g} MiB here; crop it, or use the command line"


def ask(source: Path, settings: JobSettings, models: ModelList, limits: Limits, *, machine: tuple[str, ...]) -> Asked:
    """Check an uploaded file and what is asked of it; Refused says what is wrong, without a folder of the server."""
    try:
        return _ask(source, settings, models.choose(settings), limits, machine)
    except ImageError as error:
        status = 415 if isinstance(error.__cause__, UnidentifiedImageError) else 422
        raise Refused(status, without_folder(str(error), source.parent)) from error
    except Sr3Error as error:
        raise Refused(422, without_folder(str(error), source.parent)) from error


def _ask(source: Path, settings: JobSettings, offered: Offered, limits: Limits, machine: tuple[str, ...]) -> Asked:
    if source.suffix.lower() == ARRAY_SUFFIX:
        raise Refused(415, f"{source.name}: arrays are for the command line; upload an image")
    if settings.samples > limits.samples:
        raise Refused(422, f"samples = {settings.samples}: at most {limits.samples} here; ask for fewer")
    sampling = sampling_for(offered.info, steps=settings.steps, detail=settings.detail)
    sizing = _sizing(settings)
    scale = offered.info.config.data.scale
    outputs = Outputs(settings.samples, uncertainty=settings.samples > 1)
    naming = Naming("{stem}-x{scale}", settings.format, scale, offered.info.name, sizing)
    naming.check()
    if settings.format.lower() == ARRAY_SUFFIX[1:]:
        raise ConfigError(f"format {settings.format}: arrays are for the command line; take {_formats()}")
    with recorded_warnings():  # of what is odd but readable, which the worker says
        size = picture_size(source)
        _check_pixels(source, sizing.plan(*size, scale, source).largest, limits)
        picture = read_picture(source)
    plan = sizing.plan(picture.width, picture.height, scale, source)
    _check_memory(source, picture, plan.own**plan.passes)
    width, height = plan.target
    return Asked(
        settings,
        offered,
        sampling,
        sizing,
        naming,
        outputs,
        _input_view(source.name, picture),
        OutputView(width=width, height=height),
        command_of(settings, offered, source.name, machine=machine),
    )


def _sizing(settings: JobSettings) -> Sizing:
    box = None if settings.fit is None else parse_box(settings.fit)
    return Sizing(settings.scale, settings.width, settings.height, settings.long_side, settings.megapixels, box)


def _check_pixels(source: Path, size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise Refused(
            413,
            f"{source.name}: would become {width}x{height}, {width * height / 1e6:.0f} megapixels, and results have at "
            f"most {limits.pixels / 1e6:.0f} here; crop it or shrink it first",
        )


def _check_memory(source: Path, picture: Picture, scale: int) -> None:
    try:
        check_fits(source, picture.width, picture.height, scale)
    except ImageError as error:
        raise Refused(413, without_folder(str(error), source.parent)) from error


def _input_view(name: str, picture: Picture) -> InputView:
    width, height = picture.width, picture.height
    mode = "CMYK" if picture.space == "cmyk" else _MODES[len(picture.pixels), picture.alpha is not None]
    megapixels = round(width * height / 1e6, 3)
    return InputView(name=name, width=width, height=height, megapixels=megapixels, bits=picture.depth, mode=mode)


def _formats() -> str:
    return ", ".join(suffix[1:] for suffix in WRITABLE_SUFFIXES)


def without_folder(text: str, folder: Path) -> str:
    """Take the folder of a job out of a message, so that only file names are left."""
    for part in (folder, folder.parent):
        text = text.replace(f"{part}{os.sep}", "").replace(str(part), "the server's folder")
    return text
