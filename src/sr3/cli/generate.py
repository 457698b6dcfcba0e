"""`sr3 generate`: unconditional and class-conditional generation by a cascade of models."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import Threads

__all__ = ["generate"]


def generate(
    models: Annotated[
        str, typer.Argument(metavar="MODEL[,SR-MODEL...]", help="A generator, then models that enlarge, by commas.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the pictures.")],
    count: Annotated[int, typer.Option("-n", "--count", metavar="K", min=1, help="How many pictures.")] = 16,
    steps: Annotated[
        str, typer.Option(metavar="N,N...", help="Refinement steps of each model.  [default: the models']")
    ] = "",
    label: Annotated[int | None, typer.Option("--class", help="Class of all pictures.  [default: in turn]")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of the class.  [default: the model's]")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same pictures.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pictures made together.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Threads = None,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures that exist.")] = False,
) -> int:
    """Generate pictures 00000.png, 00001.png, ...; existing ones are skipped, so a stopped command goes on."""
    from sr3.cli.progress import Display
    from sr3.errors import ConfigError
    from sr3.inference.cascade import open_cascade
    from sr3.inference.generation import Made, Order, Refining, Skipped, generate_files
    from sr3.inference.threads import choose_threads

    choose_threads(threads)
    if steps and not all(part.strip().isdecimal() and int(part) for part in steps.split(",")):
        raise ConfigError(f"--steps {steps}: write a number for each model, such as 100,25")
    numbers = [int(part) for part in steps.split(",")] if steps else []
    cascade = open_cascade(models.split(","), steps=numbers, guidance=guidance, device=device, dtype=dtype)
    order = Order(output, count, seed=seed, batch=batch, label=label, overwrite=overwrite)
    with Display(count) as display:
        for event in generate_files(cascade, order):
            match event:
                case Made(path, side):
                    display.say(f"{path}: {side}x{side}")
                case Skipped(path):
                    display.say(f"{path}: exists, skipped; replace it with --overwrite")
                case Refining(text, done):
                    display.advance(text, done)
    return 0
