"""`sr3 prepare`: convert a published data set to training shards."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import DATA, IN_OUT, MACHINE, SIZE

__all__ = ["EXAMPLES", "prepare"]

EXAMPLES = """
sr3 prepare ffhq ffhq/images1024x1024/ faces-128/
sr3 prepare folder holiday/ holiday-256/ --hold-out 0.1
sr3 prepare imagenet ILSVRC2012/ imagenet-64/ --size 64 --scale 1
"""

_TASKS = {"ffhq": (128, 8), "celeba-hq": (128, 8), "imagenet": (256, 4), "folder": (256, 4)}
"""Size and scale of the paper's first task for each data set."""
_SHOWN = 10


def prepare(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="ffhq, celeba-hq, imagenet; folder for other images.", rich_help_panel=IN_OUT
        ),
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Folder of the data set; with the recipe folder, also shards.", rich_help_panel=IN_OUT
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the shards.", rich_help_panel=IN_OUT)],
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Side of the large images in pixels.  [default: 128 for faces, else 256]", rich_help_panel=SIZE
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Scale factor between large and small images; 1 writes no small ones.  [default: 8 for faces, else 4]",
            rich_help_panel=SIZE,
        ),
    ] = None,
    hold_out: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of images kept for evaluation; folder only.", rich_help_panel=DATA),
    ] = 0.0,
    per_shard: Annotated[int, typer.Option(min=1, help="Images per shard.", rich_help_panel=DATA)] = 1000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.  [default: one per core]", rich_help_panel=MACHINE)
    ] = None,
) -> int:
    """Prepare a data set as tar shards, as in the paper.

    Running the same command again makes only what is missing.
    """
    import os

    from sr3.cli.progress import Display
    from sr3.data.layouts import read_layout
    from sr3.data.recipes import prepare as preparing
    from sr3.data.shards import Preparation
    from sr3.errors import DataError

    layout = read_layout(recipe, source, hold_out=hold_out)
    own_size, own_scale = _TASKS[recipe]
    preparation = Preparation(
        recipe, size or own_size, scale or own_scale, recipe == "folder", per_shard=per_shard, hold_out=hold_out
    )
    written, dropped, failed, seen = 0, len(layout.strangers), 0, 0
    with Display(len(layout.items)) as display:
        for name, reason in layout.strangers[:_SHOWN]:
            display.complain(f"{name}: left out, {reason}")
        for report in preparing(layout, out, preparation, workers=workers or os.cpu_count() or 1):
            written, dropped = written + report.written, dropped + len(report.dropped)
            seen += report.written + len(report.dropped) + len(report.failed)
            display.advance(report.shard, seen)
            display.say(f"{report.shard}: {report.written} images{', exists' if report.was_there else ''}")
            for _, reason in report.failed[: max(0, _SHOWN - failed)]:
                display.complain(reason)
            failed += len(report.failed)
    typer.echo(f"{out / 'manifest.json'}: {written} images, {dropped} left out, {failed} failed; each is listed there")
    if not written:
        raise DataError(
            f"{source}: no image could be used; the manifest gives the reasons; give other images, or a smaller --size "
            "with the same OUT"
        )
    return 1 if failed else 0
