"""`sr3 bench`: time a model on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import IN_OUT, MACHINE, Device, DType, Threads
from sr3.zoo import REFINING_MODEL

if TYPE_CHECKING:
    from sr3.tuning.bench import Row

__all__ = ["EXAMPLES", "bench"]

EXAMPLES = """
sr3 bench
sr3 bench --model runs/mine --side 128 --turns 3
sr3 bench --json
"""
WHAT = "What is timed"

_TITLES = {"call": "one network call", "picture": "one image", "start": "until the first call"}


def bench(
    model: Annotated[
        str, typer.Option(help="A model's name, its file, a run's folder, or hf:OWNER/NAME.", rich_help_panel=MACHINE)
    ] = REFINING_MODEL,
    device: Device = "auto",
    dtype: DType = "auto",
    threads: Threads = None,
    side: Annotated[int, typer.Option(min=8, help="Side of the result in pixels.", rich_help_panel=WHAT)] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Batch size of the batched row.", rich_help_panel=WHAT)] = 4,
    turns: Annotated[int, typer.Option(min=1, help="Repetitions; the median is reported.", rich_help_panel=WHAT)] = 5,
    steps: Annotated[
        int | None, typer.Option(help="Sampling steps per image.  [default: the model's]", rich_help_panel=WHAT)
    ] = None,
    compiles: Annotated[
        bool, typer.Option("--compile", help="Also time torch.compile, which takes minutes.", rich_help_panel=WHAT)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=IN_OUT)] = False,
) -> None:
    """Time a model on this machine.

    Times one network call, one image and the start of the process. Takes a few minutes.
    """
    import dataclasses
    import json

    from sr3.runtime.threads import choose_threads
    from sr3.tuning.bench import Plan, describe_machine
    from sr3.tuning.bench import bench as measure

    choose_threads(threads)
    plan = Plan(model, side, batch, turns, steps, device=device, dtype=dtype, compiles=compiles)
    machine = describe_machine(device)
    if as_json:
        rows = [dataclasses.asdict(row) for row in measure(plan)]
        typer.echo(json.dumps({"machine": machine, "plan": dataclasses.asdict(plan), "rows": rows}))
        return
    typer.echo(f"{model}, {side}x{side}; " + ", ".join(f"{name} {value}" for name, value in machine.items()))
    section = ""
    for row in measure(plan):
        if row.section != section:
            section = row.section
            typer.echo(f"\n{_TITLES[section]:<56} {'median':>9}  {'min - max':>21} {'speed':>8}")
        typer.echo(_line(row))


def _line(row: "Row") -> str:
    spread = f"{_shown(row.least)} - {_shown(row.most)}"
    line = f"{row.name:<56} {_shown(row.seconds):>9}  {spread:>21} {row.speedup:>7.3g}x"
    return f"{line}  {row.note}".rstrip()


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:.0f} s"
