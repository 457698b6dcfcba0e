"""The output files of an evaluation: report.json, and report.html with images."""

import os
from pathlib import Path

from sr3.atomic import whole_file
from sr3.errors import ConfigError
from sr3.evaluation.cases import Case
from sr3.evaluation.inputs import Evaluation
from sr3.evaluation.methods import Method, fitted
from sr3.evaluation.page import SHOWN, Shown, make_page, picks
from sr3.evaluation.report import INPUT, TRUTH, Report, write_report
from sr3.types import Image

__all__ = ["centre_crop", "check_apart", "check_folder", "keep_report", "write_html", "write_page"]

_REPORT = "report.json"


def check_folder(folder: Path) -> None:
    """Create the output folder before the evaluation starts; ConfigError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"-o {folder}: cannot be created as a folder ({error.strerror}); choose another path"
        ) from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"-o {folder}: is not writable; choose another path")


def check_apart(earlier: Path, folder: Path | None) -> None:
    """Raise ConfigError when the output would overwrite the report that it is compared with."""
    if folder is not None and earlier.resolve() == (folder / _REPORT).resolve():
        raise ConfigError(
            f"--check {earlier}: would be overwritten by the new report, and the next check would compare with that; "
            "give another -o"
        )


def keep_report(folder: Path, report: Report) -> Path:
    """Write the report, replacing an earlier one; returns its path."""
    write_report(folder / _REPORT, report)
    return folder / _REPORT


def write_page(folder: Path, report: Report, evaluation: Evaluation) -> Path:
    """Write the page, sampling its images again; returns its path."""
    names = sorted({name for places in picks(report).values() for name in places.values()})
    gallery = {name: _shown(evaluation, evaluation.cases.case(name)) for name in names}
    return write_html(folder, make_page(report, gallery))


def write_html(folder: Path, page: str) -> Path:
    """Write report.html; returns its path."""
    with whole_file(folder / "report.html") as temporary:
        temporary.write_text(
            page, encoding="utf-8", errors="backslashreplace"
        )  # names of folders may not be valid Unicode
    return folder / "report.html"


def _shown(evaluation: Evaluation, case: Case) -> Shown:
    """Crop the centre of the input, the results and the truth of a case."""
    shown: dict[str, Image] = {}
    if case.low_res is not None:
        side = SHOWN * case.low_res.shape[-1] // case.truth.shape[-1]
        shown[INPUT] = centre_crop(case.low_res, max(1, side))
    for method in evaluation.methods:
        shown[method.name] = centre_crop(_result(evaluation, method, case), SHOWN)
    shown[TRUTH] = centre_crop(case.truth, SHOWN)
    return shown


def _result(evaluation: Evaluation, method: Method, case: Case) -> Image:
    settings = evaluation.cases.settings
    return fitted(method.first(case), case, classification=settings.task == "classification")


def centre_crop(image: Image, side: int) -> Image:
    """Crop the centre of an image, at most side pixels per side."""
    top, left = (max(0, length - side) // 2 for length in image.shape[-2:])
    return image[..., top : top + side, left : left + side]
