"""Options that several verbs have."""

from typing import Annotated

import typer

__all__ = ["Threads"]

Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads on the processor.  [default: the cores this process is given]"),
]
