"""Options shared by several commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DATA",
    "IN_OUT",
    "MACHINE",
    "METRICS",
    "NETWORKS",
    "SAMPLING",
    "SEARCH",
    "SERVER",
    "SETTINGS",
    "SIZE",
    "DType",
    "Device",
    "LowRes",
    "MaxTime",
    "Mean",
    "NewModel",
    "Overwrite",
    "Run",
    "Set",
    "Threads",
    "TrainingData",
    "announce_code",
    "check_target",
]

IN_OUT = "Input and output"
DATA = "Data"
SIZE = "Size"
SAMPLING = "Sampling"
SETTINGS = "Settings"
SERVER = "Server"
SEARCH = "Search"
METRICS = "Metrics and report"
NETWORKS = "Networks of metrics"
MACHINE = "Model and machine"

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=MACHINE)]
DType = Annotated[
    str,
    typer.Option(
        help="Data type of the computations: float32, bfloat16, int8 (faster on a CPU, off by about half an "
        "8-bit level), or auto: bfloat16 where the device supports it, else float32.",
        rich_help_panel=MACHINE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="CPU threads.  [default: OMP_NUM_THREADS, else the available cores]", rich_help_panel=MACHINE
    ),
]
NewModel = Annotated[
    Path, typer.Argument(metavar="OUT.safetensors", help="Model file to write.", rich_help_panel=IN_OUT)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.", rich_help_panel=IN_OUT)]
MaxTime = Annotated[
    str, typer.Option(help="Stop after this long and save: 90s, 25m, 1h30m, 2d.", rich_help_panel=MACHINE)
]
TrainingData = Annotated[
    str,
    typer.Option(
        metavar="SRC",
        help="Training images: a folder; .tar shards (file, folder, pattern, URL); hf:NAME.",
        rich_help_panel=IN_OUT,
    ),
]
LowRes = Annotated[
    Path | None,
    typer.Option(
        metavar="LR",
        help="Folder of low-resolution versions with the same names, instead of generated ones.",
        rich_help_panel=IN_OUT,
    ),
]
Run = Annotated[
    Path,
    typer.Option(
        metavar="RUN", help="Folder of the run. The same command resumes a stopped run.", rich_help_panel=IN_OUT
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=value", help="Change a setting; may be repeated.", rich_help_panel=SETTINGS),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Mean predictor whose output the model refines: a regression of family span.",
        rich_help_panel=SETTINGS,
    ),
]


def announce_code(networks: Mapping[str, str | None]) -> None:
    """Print which TorchScript files will run, because they contain code."""
    for option, name in networks.items():
        if name is not None and Path(name).is_file() and Path(name).suffix.lower() != ".onnx":
            typer.echo(f"sr3: {option} runs the code of {name}", err=True)


def check_target(
    target: Path,
    *,
    overwrite: bool,
    suffix: str = ".safetensors",
    kind: str = "a model file",
    beside: Sequence[Path] = (),
) -> None:
    """Refuse a file of another suffix than its kind has, and one that exists, or of which one beside it does."""
    from sr3.errors import CheckpointError

    if target.suffix != suffix:
        raise CheckpointError(f"{target}: {kind} needs the suffix {suffix}; rename it")
    for path in (target, *beside):
        if path.exists() and not overwrite:
            raise CheckpointError(f"{path}: exists; replace it with --overwrite or give another name")
