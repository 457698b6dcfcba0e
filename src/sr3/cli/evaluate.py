"""`sr3 evaluate`: evaluate models, or the results of any method, against ground-truth images."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import IN_OUT, METRICS, NETWORKS, SAMPLING, Device, DType, Threads, announce_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sr3.evaluation.report import Report
    from sr3.evaluation.run import Progress

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = """
sr3 evaluate --pred theirs/ --pred mine/ --truth originals/ --input small/ -o report/
sr3 evaluate --model photos-x4 --filter bicubic --data held-out/ --samples 4 -o report/
sr3 evaluate --unpaired --pred made/ --truth "imagenet-256/val/*.tar" --features inception
"""

_WIDE = 4096
"""Table width for files and pipes, where no cell is truncated."""


def evaluate(
    truth: Annotated[
        str,
        typer.Option(
            "--truth", "--data", metavar="SRC", help="Ground-truth images: folder or shards.", rich_help_panel=IN_OUT
        ),
    ],
    pred: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DIR",
            help="Results, each with the file name of its truth; may be repeated.",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired",
            help="Compare sets as a whole (FID etc.): names and numbers of images need not match.",
            rich_help_panel=IN_OUT,
        ),
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL",
            help="A model to sample: name, file, run, hf:OWNER/NAME or spandrel:FILE. May be repeated.",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="F", help="bicubic or lanczos; may be repeated.", rich_help_panel=IN_OUT),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="SRC",
            help="Low-resolution images.  [default: made from the truths]",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="Folder for report.json and report.html.", rich_help_panel=IN_OUT
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object.", rich_help_panel=IN_OUT)
    ] = False,
    first: Annotated[
        int | None,
        typer.Option(min=1, help="Only this many truths, the first by name.  [default: all]", rich_help_panel=IN_OUT),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Only this many truths, spread evenly.  [default: all]", rich_help_panel=IN_OUT),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Scale factor.  [default: that of the models or of --input]", rich_help_panel=SAMPLING
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Sampling steps of the models.  [default: the models']", rich_help_panel=SAMPLING),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="As for sr3 upscale.  [default: the models']", rich_help_panel=SAMPLING)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples per input.", rich_help_panel=SAMPLING)] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of samples and intervals.", rich_help_panel=SAMPLING)
    ] = 0,
    task: Annotated[
        str, typer.Option(help="plain, or classification as in the paper.", rich_help_panel=METRICS)
    ] = "plain",
    border: Annotated[int, typer.Option(min=0, help="Pixels to leave out at each edge.", rich_help_panel=METRICS)] = 0,
    resamples: Annotated[
        int, typer.Option(min=20, help="Bootstrap draws for intervals.", rich_help_panel=METRICS)
    ] = 1000,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An earlier report.json; fail if a metric changed.", rich_help_panel=METRICS),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=X", help="For --check; may be repeated.", rich_help_panel=METRICS),
    ] = None,
    perceptual: Annotated[
        str | None,
        typer.Option(
            metavar="NET",
            help="Perceptual distance: st-lpips, lpips-alex, lpips-vgg, a .pt file.",
            rich_help_panel=NETWORKS,
        ),
    ] = None,
    opensr: Annotated[
        bool,
        typer.Option("--opensr", help="Metrics of opensr-test, for satellite images.", rich_help_panel=NETWORKS),
    ] = False,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="NET", help="Features for FID: inception, efficientnet-lite0, a .pt file.", rich_help_panel=NETWORKS
        ),
    ] = None,
    patch: Annotated[
        int,
        typer.Option(min=0, help="Side of the patches given to --features; 0: whole images.", rich_help_panel=NETWORKS),
    ] = 0,
    classifier: Annotated[
        str | None,
        typer.Option(
            metavar="NET",
            help="efficientnet-lite0 (or 1, 2), torchvision:NAME, timm:NAME, a .pt or .onnx file.",
            rich_help_panel=NETWORKS,
        ),
    ] = None,
    classifier_range: Annotated[
        str,
        typer.Option(help="Input range of a classifier file: imagenet, unit, symmetric.", rich_help_panel=NETWORKS),
    ] = "imagenet",
    device: Device = "auto",
    dtype: DType = "auto",
    threads: Threads = None,
) -> int:
    """Evaluate images or models against the ground truth.

    Prints a table; with -o it writes a report and a page with images.
    """
    from sr3.evaluation import inputs, outputs
    from sr3.evaluation import report as reports
    from sr3.evaluation.run import evaluate as measured
    from sr3.evaluation.settings import Settings
    from sr3.evaluation.unpaired import evaluate_sets, open_sets, write_sets_page
    from sr3.runtime.threads import choose_threads

    choose_threads(threads)
    settings = Settings(
        task=inputs.parse_task(task),
        scale=scale or 0,
        border=border,
        patch=patch,
        samples=samples,
        seed=seed,
        resamples=resamples,
    )
    networks = inputs.NetworkNames(features, classifier, classifier_range, perceptual, opensr)
    announce_code({"--features": features, "--perceptual": perceptual, "--classifier": classifier})
    request = inputs.Request(
        truth, input_, pred or [], model or [], filters or [], steps, sampler, first, images, device, dtype
    )
    tolerances = inputs.parse_tolerances(tolerance or [])
    expected = None
    if check is not None:
        outputs.check_apart(check, output)
        expected = reports.read_report(check)
    if unpaired:
        sets = open_sets(request, networks, settings)
        total, events, write_page = len(sets), evaluate_sets(sets), partial(write_sets_page, sets=sets)
    else:
        one = inputs.open_evaluation(request, networks, settings)
        total, events = len(one.cases) * len(one.methods), measured(one.cases, one.methods, one.networks, one.inputs)
        write_page = partial(outputs.write_page, evaluation=one)
    found, written = follow(events, total, output, quiet=as_json)
    if output is not None:
        written.append(write_page(output, found))
    show(found, as_json=as_json)
    if not as_json:
        for path in written:
            typer.echo(str(path))
    if expected is None:
        return 0
    moved = reports.check(found, expected, tolerances)
    for line in (*reports.differing_settings(found, expected), *(one.text for one in moved)):
        typer.echo(f"sr3: {line}", err=True)
    return 1 if moved else 0


def follow(
    events: "Iterator[Progress | Report]", total: int, output: Path | None, *, quiet: bool
) -> "tuple[Report, list[Path]]":
    """Show progress and write reports to a folder; returns the last report and the written files."""
    from sr3.cli.progress import Display
    from sr3.evaluation import outputs
    from sr3.evaluation.report import Report

    if output is not None:
        outputs.check_folder(output)
    found: Report | None = None
    written: dict[Path, None] = {}
    with Display(total, quiet=quiet) as display:
        for event in events:
            if not isinstance(event, Report):
                display.advance(f"{event.picture}: {event.method}", event.done)
                continue
            found = event
            if output is not None:
                written[outputs.keep_report(output, found)] = None
    assert found is not None
    return found, list(written)


def show(report: "Report", *, as_json: bool) -> None:
    """Print a report as JSON or as tables."""
    from sr3.evaluation import table
    from sr3.evaluation.report import to_json

    if as_json:
        typer.echo(to_json(report).rstrip())
        return
    print_table(*table.report_rows(report))
    if report.differences:
        print_table(*table.difference_rows(report))
    for note in report.notes:
        typer.echo(note)


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """Print a table; without a terminal, at its full width."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    plain = not sys.stdout.isatty()
    console = Console(highlight=False, width=_WIDE if plain else None)
    grid = Table(box=SIMPLE_HEAD)
    for place, text in enumerate(headings):
        grid.add_column(Text(text), justify="left" if place == 0 else "right", no_wrap=plain)
    for row in rows:
        grid.add_row(*(Text(text) for text in row))
    console.print(grid)
