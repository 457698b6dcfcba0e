"""`sr3 generate`: unconditional and class-conditional generation by a cascade of models."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, MACHINE, SAMPLING, Device, DType, Threads

__all__ = ["EXAMPLES", "generate"]

EXAMPLES = """
sr3 generate runs/faces-64 -o made/                          # 16 images of 64x64
sr3 generate runs/faces-64,runs/faces-256 -o made/ -n 100 --steps 250,100
sr3 generate runs/imagenet-64 -o made/ --class 7 --guidance 1
"""


def generate(
    models: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[,SR-MODEL...]",
            help="A generator, then models that upscale its images, separated by commas.",
            rich_help_panel=IN_OUT,
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the images.", rich_help_panel=IN_OUT)
    ],
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="K", min=1, help="Number of images.", rich_help_panel=IN_OUT)
    ] = 16,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace images that exist.", rich_help_panel=IN_OUT)
    ] = False,
    steps: Annotated[
        str,
        typer.Option(
            metavar="N,N...", help="Sampling steps of each model.  [default: the models']", rich_help_panel=SAMPLING
        ),
    ] = "",
    label: Annotated[
        int | None,
        typer.Option("--class", help="Class of all images.  [default: all classes in turn]", rich_help_panel=SAMPLING),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance weight.  [default: the model's]", rich_help_panel=SAMPLING)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", rich_help_panel=SAMPLING)] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images generated together.", rich_help_panel=MACHINE)] = 8,
    device: Device = "auto",
    dtype: DType = "auto",
    threads: Threads = None,
) -> int:
    """Generate images without an input, by a cascade of models.

    Writes 00000.png, 00001.png and so on. Existing images are skipped.
    """
    from sr3.cli.progress import Display
    from sr3.errors import ConfigError
    from sr3.runtime.threads import choose_threads
    from sr3.sampling.cascade import open_cascade
    from sr3.upscaling.generation import Made, Order, Refining, Skipped, generate_files

    choose_threads(threads)
    if steps and not all(part.strip().isdecimal() and int(part) for part in steps.split(",")):
        raise ConfigError(f"--steps {steps}: give one number per model, such as 100,25")
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
