"""`sr3 join`: put a restoration model before an upscaling one."""

from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, NewModel, Overwrite, check_target

__all__ = ["EXAMPLES", "join"]

EXAMPLES = """
sr3 join runs/clean photos-x4-fast mine.safetensors   # then sr3 upscale photo.jpg --model mine.safetensors
sr3 join jpeg.safetensors runs/mine runs/mine-jpeg.safetensors --overwrite
"""


def join(
    restoration: Annotated[
        str,
        typer.Argument(
            metavar="RESTORATION",
            help="The restoration model: a regression of family span at scale 1.",
            rich_help_panel=IN_OUT,
        ),
    ],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name, its file, a run's folder, or hf:OWNER/NAME.", rich_help_panel=IN_OUT
        ),
    ],
    target: NewModel,
    overwrite: Overwrite = False,
) -> None:
    """Join a restoration and an upscaling model.

    The written model cleans its input with the first, then upscales it with the second; both stay unchanged.
    """
    from sr3.exchange import joining

    check_target(target, overwrite=overwrite)
    info = joining.join(restoration, model, target)
    assert info.config.restoration is not None
    typer.echo(f"{target}: {info.config.restoration.name}, then {model}; usable with sr3 upscale --model {target}")
