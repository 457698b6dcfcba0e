"""`sr3 export`: export a model to ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT

__all__ = ["EXAMPLES", "export"]

EXAMPLES = """
sr3 export photos-x4 photos-x4.onnx
sr3 export runs/mine mine.onnx --overwrite
"""


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name, its file, a run's folder, or hf:OWNER/NAME.", rich_help_panel=IN_OUT
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="ONNX file to write.", rich_help_panel=IN_OUT)],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if it exists.", rich_help_panel=IN_OUT)
    ] = False,
) -> None:
    """Write a model's network as ONNX.

    The file takes images of any size and is checked under ONNX Runtime.
    """
    from sr3.errors import CheckpointError
    from sr3.exchange.export import export_onnx, mean_path

    if target.suffix != ".onnx":
        raise CheckpointError(f"{target}: an ONNX file needs the suffix .onnx; rename it")
    for path in (target, mean_path(target)):
        if path.exists() and not overwrite:
            raise CheckpointError(f"{path}: exists; replace it with --overwrite or give another name")
    for done in export_onnx(model, target):
        for (batch, height, width), difference in done.differences.items():
            typer.echo(f"{done.path}: {batch} of {width}x{height}: differs from torch by at most {difference:.1e}")
        typer.echo(f"{done.path}: inputs {', '.join(done.inputs)}; settings in its metadata")
