"""`sr3 average`: average the weights of several models."""

from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, NewModel, Overwrite, check_target

__all__ = ["EXAMPLES", "average"]

EXAMPLES = """
sr3 average photos-x4-fast runs/continued mine.safetensors   # then sr3 upscale photo.jpg --model mine.safetensors
sr3 average runs/one runs/two runs/three runs/mean.safetensors --overwrite
"""


def average(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL MODEL...",
            help="Two or more models of one network: names, files, run folders, or hf:OWNER/NAME.",
            rich_help_panel=IN_OUT,
        ),
    ],
    target: NewModel,
    overwrite: Overwrite = False,
) -> None:
    """Average the weights of several models.

    For a model and what it was continued to, the average is often better than either. Settings are those of the first.
    """
    from sr3.errors import CheckpointError
    from sr3.exchange import averaging

    if len(models) < 2:
        raise CheckpointError(f"{models[0]}: one model has no average; give two or more, then OUT.safetensors")
    check_target(target, overwrite=overwrite)
    averaging.average(models, target)
    typer.echo(f"{target}: the average of {len(models)} models; usable with sr3 upscale --model {target}")
