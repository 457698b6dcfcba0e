"""`sr3 convert`: convert a checkpoint of Janspiry's implementation to an sr3 model."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, SETTINGS, NewModel, Overwrite, Set, check_target

__all__ = ["EXAMPLES", "convert"]

EXAMPLES = """
sr3 convert I640000_E37_gen.pth faces-x8.safetensors
sr3 convert mine_gen.pth mine.safetensors --scale 4 --groups 16 --set sampling.steps=250
"""


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="X_gen.pth", help="Checkpoint of Janspiry's implementation.", rich_help_panel=IN_OUT),
    ],
    target: NewModel,
    overwrite: Overwrite = False,
    task: Annotated[
        str | None,
        typer.Option(
            help="Published configuration: 16-128, 64-512 or faces-128.  [default: the one of the same shape]",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, help="Scale factor.  [default: the task's]", rich_help_panel=SETTINGS)
    ] = None,
    groups: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Groups of the group normalisation (norm_groups).  [default: the task's]",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    settings: Set = None,
) -> None:
    """Convert a checkpoint of Janspiry's implementation.

    The file is read without running its code.
    """
    from sr3.exchange import conversion

    check_target(target, overwrite=overwrite)
    done = conversion.convert(source, target, task=task, scale=scale, groups=groups, settings=settings or ())
    for note in done.notes:
        typer.echo(f"{source}: {note}")
    typer.echo(f"{target}: {done.parameters / 1e6:.1f}M parameters, {done.info.step} steps; sr3 inspect {target}")
