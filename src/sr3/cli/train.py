"""`sr3 train`: train a model on a folder or on shards of images."""

import signal
from collections.abc import Generator
from contextlib import closing, contextmanager
from math import isnan
from threading import Event as Flag
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import IN_OUT, SETTINGS, Device, LowRes, MaxTime, Mean, Run, Set, Threads, TrainingData
from sr3.ranks import process_prefix, read_ranks

if TYPE_CHECKING:
    import torch

    from sr3.cli.progress import Display
    from sr3.config import Config
    from sr3.data.sources import Source
    from sr3.data.streams import Stream
    from sr3.training.events import Event
    from sr3.training.plan import Plan

__all__ = ["EXAMPLES", "check_code", "run_session", "train"]


EXAMPLES = """
sr3 train photos-x4 --data photos/ --out runs/mine --max-time 8h   # the same command resumes it
sr3 train photos-x4 --data photos/ --out runs/mine --start photos-x4 --set training.steps=2000
sr3 train faces-16-128 --data "faces/train/*.tar" --out runs/faces --dry-run
"""


def train(
    settings: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|FILE.toml",
            help="A preset (sr3 models lists them), or a TOML file of settings.",
            rich_help_panel=IN_OUT,
        ),
    ],
    data: TrainingData,
    out: Run,
    low_res: LowRes = None,
    change: Set = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from the weights of this model: a name, a file, a run, or hf:OWNER/NAME.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    mean: Mean = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Estimate size, memory and time; write nothing.", rich_help_panel=SETTINGS),
    ] = False,
    max_time: MaxTime = "10000h",
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Train a model on your own images.

    Running the same command again resumes a stopped run.
    """
    from sr3.duration import parse_duration

    seconds = parse_duration(max_time)
    from sr3.runtime.device import choose_device
    from sr3.runtime.threads import choose_threads
    from sr3.training.plan import make_plan

    choose_threads(threads)
    plan = make_plan(settings, data, out, changes=change or (), low_res=low_res, start=start, mean=mean)
    check_code(plan.config, change)
    if dry_run:
        return _estimate(plan.config, plan.supply, choose_device(device))
    return run_session(plan, device=choose_device(device), max_seconds=seconds)


def check_code(config: "Config", change: list[str] | None) -> None:
    """Raise ConfigError where settings from a file would run code; say so where the command line asks for it."""
    from sr3.training.plan import code_of

    if path := code_of(config, change):
        typer.echo(f"sr3: objective.adversary.features runs the code of {path}", err=True)


def run_session(plan: "Plan", *, device: "torch.device", max_seconds: float) -> int:
    """Run a training session and display it; returns the exit code."""
    from sr3.cli.progress import Display
    from sr3.training.loop import Limits
    from sr3.training.plan import open_training

    config, out, rank = plan.config, plan.out, read_ranks()[0]
    step, limits = 0, Limits(max_seconds)
    run, events = open_training(plan, device=device, limits=limits)
    with (
        Display(config.training.steps, quiet=rank > 0) as display,
        _stop_signal(limits.stop) as received,
        closing(events),
    ):
        for event in events:
            step = event.step
            show(display, event, config)
    if received == [signal.SIGTERM]:
        if rank == 0:
            typer.echo(f"terminated by SIGTERM: saved in {out}; the same command resumes")
        return 0
    if received:
        typer.echo(f"sr3: stopped and saved in {out}; the same command resumes", err=True)
        return 130
    if rank > 0:
        return 0
    if run.model.is_file():
        verb = "sr3 generate" if config.network.condition == "none" else "sr3 upscale --model"
        typer.echo(f"{run.model}: usable with {verb} {out}")
    if 0 < step < config.training.steps:
        typer.echo(f"ended at step {step} of {config.training.steps}; the same command resumes")
    return 0


def _estimate(config: "Config", source: "Source | Stream", device: "torch.device") -> int:
    """Print the estimated cost of the training on this machine."""
    from sr3.duration import format_duration
    from sr3.runtime.free_memory import device_free
    from sr3.training.advice import before_training, emulated_dtype
    from sr3.training.estimate import advise_memory, estimate
    from sr3.training.images import find_images
    from sr3.training.speed import side_of

    for text in (*before_training(config), *emulated_dtype(config, device)):
        typer.echo(f"sr3: warning: {text}", err=True)
    images = find_images(source, config)
    side, channels = side_of(config, images.held_out), images.held_out.image_channels
    costs = estimate(config, image_channels=channels, side=side, device=device)
    memory = (costs.state_bytes + costs.activation_bytes) / 2**30
    seconds = costs.seconds_per_step
    lines = (
        f"images: {images.described} for training, {len(images.held_out)} held out; {side} pixels per side",
        f"parameters: {costs.parameters:,}",
        f"FLOPs per image and step: {costs.flops_per_image:.3g}",
        f"memory: about {memory:.1f} GiB, of which {costs.state_bytes / 2**30:.1f} for weights, gradients, Adam, EMA",
        advise_memory(costs, config, free=int(min(device_free(device), 2**60))),
        f"peak of this machine ({device.type}): {costs.peak:.3g} FLOP/s in a large matrix product",
        f"time: about {seconds:.2g} s per step, {format_duration(seconds * costs.steps)} for {costs.steps:,} steps",
    )
    typer.echo("\n".join(lines))
    return 0


def show(display: "Display", event: "Event", config: "Config") -> None:
    """Display an event: each step on the bar, and about one step in a hundred as a line."""
    from sr3.training.events import Noted, Saved, Stepped, Validated

    match event:
        case Stepped(step, learning_rate=rate, images_per_second=speed, smooth=smooth):
            loss, *bands = smooth
            line = f"step {step}: loss {loss:.4f}, rate {rate:.2g}, {speed:.1f} images/s"
            display.advance(line, step)
            if step % max(1, min(100, config.training.steps // 20)) == 0:
                by_noise = " ".join("-" if isnan(band) else f"{band:.3f}" for band in bands)
                size = f"memory {event.memory / 2**30:.1f} GiB"
                display.say(
                    f"{line} ({event.share_of_peak:.0%} of peak), {size}, loss by noise level, noisiest first: "
                    f"{by_noise}; {display.time_left()} left"
                )
        case Noted(step, text):
            display.complain(f"{process_prefix()}step {step}: {text}")
        case Validated(step, metrics):
            display.say(
                f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "step")
            )
        case Saved(step):
            display.say(f"step {step}: saved")


@contextmanager
def _stop_signal(stop: Flag) -> Generator[list[int]]:
    """Set a flag on SIGINT or SIGTERM, so that a run ends between two steps; a second signal interrupts."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
