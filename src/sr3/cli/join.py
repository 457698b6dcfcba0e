"""`sr3 join`: put a restoration model before an upscaling one."""

from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import IN_OUT, SETTINGS, Device, NewModel, Overwrite, Threads, check_target

if TYPE_CHECKING:
    from sr3.checkpoint import ModelFile
    from sr3.networks.strength import StrengthNetwork

__all__ = ["EXAMPLES", "join"]

EXAMPLES = """
sr3 join runs/clean photos-x4-fast mine.safetensors   # then sr3 upscale photo.jpg --model mine.safetensors
sr3 join jpeg.safetensors runs/mine runs/mine-jpeg.safetensors --overwrite
sr3 join runs/clean photos-x4-fast mine.safetensors --data my-photos/   # measures how strongly an input is cleaned
"""


def join(
    restoration: Annotated[
        str,
        typer.Argument(
            metavar="RESTORATION",
            help="The restoration model: a regression of family span at scale 1.",
            rich_help_panel=IN_OUT,
        ),
    ],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name, its file, a run's folder, or hf:OWNER/NAME.", rich_help_panel=IN_OUT
        ),
    ],
    target: NewModel,
    overwrite: Overwrite = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="Clean images, a folder or shards: also trains a small network on them, degraded as in the training "
            "of RESTORATION, that measures how strongly an input needs cleaning.",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=20, help="With --data: crops of 128x128 to learn from.", rich_help_panel=SETTINGS)
    ] = 6000,
    reduction: Annotated[
        int,
        typer.Option(min=1, max=16, help="With --data: by how much SRC is reduced first.", rich_help_panel=SETTINGS),
    ] = 1,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Join a restoration and an upscaling model.

    The written model cleans its input with the first, then upscales it with the second; both stay unchanged.
    """
    from sr3.exchange import joining

    check_target(target, overwrite=overwrite)
    parts = joining.read_parts(restoration, model)
    strength = None
    if data is not None:
        strength = _trained_strength(parts.restoration, data, examples, reduction, device, threads)
    info = joining.join(parts, target, strength=strength)
    assert info.config.restoration is not None
    typer.echo(f"{target}: {info.config.restoration.name}, then {model}; usable with sr3 upscale --model {target}")


def _trained_strength(
    before: "ModelFile", data: str, examples: int, reduction: int, device: str, threads: int | None
) -> "StrengthNetwork":
    from sr3.cli.progress import Display
    from sr3.data.opening import open_source
    from sr3.runtime.device import choose_device
    from sr3.runtime.threads import choose_threads
    from sr3.training.strength import train_strength

    choose_threads(threads)
    with Display(2) as display:
        said = ""

        def show(what: str, share: float) -> None:
            nonlocal said
            if what != said:
                display.say(f"strength: {what}")
                said = what
            display.advance(what, share + (what == "training"))

        found = train_strength(
            before,
            open_source(data),
            count=examples,
            reduction=reduction,
            device=choose_device(device),
            on_progress=show,
        )
    typer.echo(
        f"strength: off by {found.error:.2f} on images not learnt from, {found.constant_error:.2f} if always the same"
    )
    return found.network
