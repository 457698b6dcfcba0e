"""`sr3 export`: export a model to ONNX, for ncnn, or to a file for spandrel."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import IN_OUT, SAMPLING, SIZE, check_target

if TYPE_CHECKING:
    from sr3.exchange.compared import Exported
    from sr3.exchange.smaller import GraphType

__all__ = ["EXAMPLES", "export"]

_NCNN_SIDE = 128
_TYPES = ("float32", "float16", "int8")
_MOST_CALIBRATED = 32
_SETTINGS = "settings in its metadata"

EXAMPLES = """
sr3 export --whole --type float16 photos-x4-fast fast.onnx       # image in, image out; --side 128 for a fixed size
sr3 export --ncnn photos-x4-fast fast.param --side 128           # for ncnn, the weights beside it
sr3 export --spandrel photos-x4-fast fast-spandrel.safetensors   # for ComfyUI and chaiNNer
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
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Write everything from image to result as one graph, for models of one network call.",
            rich_help_panel=IN_OUT,
        ),
    ] = False,
    for_ncnn: Annotated[
        bool,
        typer.Option(
            "--ncnn",
            help="The same for ncnn: a .param file, and a .bin file beside it.",
            rich_help_panel=IN_OUT,
        ),
    ] = False,
    side: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Height and width of the input, with --whole or --ncnn.  [default: any with --whole, 128 with --ncnn]",
            rich_help_panel=SIZE,
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Type of weights and arithmetic, with --whole: float32, float16, or int8 for most convolutions, with "
            "--calibrate.",
            rich_help_panel=SIZE,
        ),
    ] = "float32",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images as the model will get them, at most 32 of them, to choose the ranges of int8 by.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Sampling steps, with --spandrel.  [default: the model's]", rich_help_panel=SAMPLING),
    ] = None,
) -> None:
    """Write a network as ONNX, or a model for ncnn or spandrel.

    ONNX files take images of any size and are checked with ONNX Runtime; files for ncnn are checked with ncnn.
    """
    from sr3.errors import ConfigError

    if whole + for_spandrel + for_ncnn > 1:
        raise ConfigError("--whole, --ncnn, --spandrel: each writes another kind of file; give only one")
    if side is not None and not (whole or for_ncnn):
        raise ConfigError("--side: only --whole and --ncnn export for a fixed size; leave it out, or add one of them")
    if steps is not None and not for_spandrel:
        raise ConfigError(
            "--steps: without --spandrel, a single network call is exported; leave it out, or add --spandrel"
        )
    if kind not in _TYPES:
        raise ConfigError(f"--type {kind}: unknown; give {', '.join(_TYPES)}")
    if kind != "float32" and not whole:
        raise ConfigError(f"--type {kind}: is for --whole only; leave --type out, or export with --whole")
    if (kind == "int8") != (calibrate is not None):
        raise ConfigError("--type int8, --calibrate: 8-bit ranges are chosen on images; give both or none")
    if for_spandrel:
        _to_spandrel(model, target, overwrite, steps)
    elif for_ncnn:
        _to_ncnn(model, target, overwrite, side or _NCNN_SIDE)
    elif whole:
        _to_whole(model, target, overwrite, side, kind, calibrate)
    else:
        _to_onnx(model, target, overwrite)


def _to_spandrel(model: str, target: Path, overwrite: bool, steps: int | None) -> None:
    from sr3.spandrel import export_spandrel

    check_target(target, overwrite=overwrite, kind="a file for spandrel")
    calls = export_spandrel(model, target, steps=steps)
    typer.echo(f"{target}: {calls} network call{'s' if calls > 1 else ''} per image, always with the same noise")


def _to_ncnn(model: str, target: Path, overwrite: bool, side: int) -> None:
    from sr3.exchange.ncnn import export_ncnn, weights_path

    weights = weights_path(target)
    check_target(target, overwrite=overwrite, suffix=".param", kind="a graph for ncnn", beside=[weights])
    _report(export_ncnn(model, target, side=side), f"the weights in {weights}")


def _to_onnx(model: str, target: Path, overwrite: bool) -> None:
    from sr3.exchange.export import export_onnx, mean_path

    check_target(target, overwrite=overwrite, suffix=".onnx", kind="an ONNX file", beside=[mean_path(target)])
    for done in export_onnx(model, target):
        _report(done, _SETTINGS)


def _to_whole(
    model: str, target: Path, overwrite: bool, side: int | None, kind: "GraphType", calibrate: Path | None
) -> None:
    from sr3.exchange.whole import export_whole
    from sr3.images.files import list_pictures

    check_target(target, overwrite=overwrite, suffix=".onnx", kind="an ONNX file")
    found = list_pictures(calibrate) if calibrate is not None else []
    images = found[:: -(-len(found) // _MOST_CALIBRATED) or 1]
    if len(images) < len(found):
        typer.echo(f"{calibrate}: calibrated on {len(images)} of {len(found)} images, evenly by name")
    _report(export_whole(model, target, side=side, kind=kind, calibration=images), _SETTINGS)


def _report(done: "Exported", about: str) -> None:
    how = "on average by" if done.is_average else "by at most"
    for (batch, height, width), difference in done.differences.items():
        typer.echo(f"{done.path}: {batch} of {width}x{height}: differs from torch {how} {difference:.1e}")
    typer.echo(f"{done.path}: inputs {', '.join(done.inputs)}; {about}")
