"""`sr3 export`: export a model to ONNX, or to a file for spandrel."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, SAMPLING

__all__ = ["EXAMPLES", "export"]

EXAMPLES = """
sr3 export photos-x4 photos-x4.onnx
sr3 export --spandrel photos-x4-fast fast-spandrel.safetensors   # for ComfyUI and chaiNNer
sr3 export --spandrel runs/mine mine-spandrel.safetensors --steps 4
"""


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name, its file, a run's folder, or hf:OWNER/NAME.", rich_help_panel=IN_OUT
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write.", rich_help_panel=IN_OUT)],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if it exists.", rich_help_panel=IN_OUT)
    ] = False,
    for_spandrel: Annotated[
        bool,
        typer.Option(
            "--spandrel",
            help="Write weights and settings as a .safetensors file for spandrel, not the network as ONNX.",
            rich_help_panel=IN_OUT,
        ),
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Sampling steps, with --spandrel.  [default: the model's]", rich_help_panel=SAMPLING),
    ] = None,
) -> None:
    """Write a network as ONNX, or a model for spandrel.

    An ONNX file takes images of any size and is checked under ONNX Runtime.
    """
    from sr3.errors import CheckpointError, ConfigError
    from sr3.exchange.export import export_onnx, mean_path
    from sr3.spandrel import export_spandrel

    suffix, kind = (".safetensors", "a file for spandrel") if for_spandrel else (".onnx", "an ONNX file")
    if target.suffix != suffix:
        raise CheckpointError(f"{target}: {kind} needs the suffix {suffix}; rename it")
    if steps is not None and not for_spandrel:
        raise ConfigError("--steps: an ONNX file is one network call; leave it out, or add --spandrel")
    for path in (target, *([] if for_spandrel else [mean_path(target)])):
        if path.exists() and not overwrite:
            raise CheckpointError(f"{path}: exists; replace it with --overwrite or give another name")
    if for_spandrel:
        calls = export_spandrel(model, target, steps=steps)
        typer.echo(f"{target}: {calls} network call{'s' if calls > 1 else ''} per image, always with the same noise")
        return
    for done in export_onnx(model, target):
        for (batch, height, width), difference in done.differences.items():
            typer.echo(f"{done.path}: {batch} of {width}x{height}: differs from torch by at most {difference:.1e}")
        typer.echo(f"{done.path}: inputs {', '.join(done.inputs)}; settings in its metadata")
