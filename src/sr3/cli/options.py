"""Options shared by several commands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Threads", "say_what_runs"]

Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads on the processor.  [default: the cores this process is given]"),
]


def say_what_runs(networks: Mapping[str, str | None]) -> None:
    """Say which TorchScript files will run, for they are programs."""
    for option, name in networks.items():
        if name is not None and Path(name).is_file() and Path(name).suffix.lower() != ".onnx":
            typer.echo(f"sr3: {option} runs the code of {name}", err=True)
