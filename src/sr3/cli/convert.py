"""`sr3 convert`: convert a checkpoint of another program to an sr3 model."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["convert"]


def convert(
    source: Annotated[Path, typer.Argument(metavar="X_gen.pth", help="Checkpoint of the unofficial implementation.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="Model file to write.")],
    task: Annotated[
        str | None, typer.Option(help="16-128, 64-512 or faces-128.  [default: the one of the same shape]")
    ] = None,
    scale: Annotated[int | None, typer.Option(min=1, help="Magnification.  [default: the task's]")] = None,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Groups of the normalisation (norm_groups).  [default: the task's]")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="A setting, such as sampling.steps=250.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Convert a checkpoint of the best-known unofficial implementation of SR3, read without running its code."""
    from sr3.errors import CheckpointError
    from sr3.inference import conversion

    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target}: a model's name ends in .safetensors; give it that suffix")
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target}: exists; replace it with --overwrite or give another name")
    done = conversion.convert(source, target, task=task, scale=scale, groups=groups, settings=settings or ())
    for note in done.notes:
        typer.echo(f"{source}: {note}")
    typer.echo(f"{target}: {done.parameters / 1e6:.1f}M parameters, {done.info.step} steps; sr3 inspect {target}")
