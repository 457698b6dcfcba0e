"""`sr3 search-schedule`: search for the best noise levels for a number of steps, on held-out images."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, SEARCH, Device, LowRes, Threads, announce_code

__all__ = ["EXAMPLES", "search_schedule"]

EXAMPLES = """
sr3 search-schedule runs/mine --data held-out/ --steps 8
sr3 search-schedule photos-x4 --data held-out/ --steps 4 --budget 40 -o mine.safetensors
"""


def search_schedule(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name, its file, a run's folder, or hf:OWNER/NAME.", rich_help_panel=IN_OUT
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="SRC", help="Images that the model was not trained on: folder or shards.", rich_help_panel=IN_OUT
        ),
    ],
    steps: Annotated[
        int,
        typer.Option(min=1, max=100, help="Sampling steps to find noise levels for.", rich_help_panel=SEARCH),
    ],
    low_res: LowRes = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File for the model with its new levels.  [default: MODEL itself]",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace another model that exists at OUT.", rich_help_panel=IN_OUT),
    ] = False,
    sampler: Annotated[
        str | None, typer.Option(help="As for sr3 upscale.  [default: the model's]", rich_help_panel=SEARCH)
    ] = None,
    budget: Annotated[int, typer.Option(min=2, help="Grids to try.", rich_help_panel=SEARCH)] = 60,
    images: Annotated[
        int, typer.Option(min=2, help="Images per trial, spread evenly over SRC.", rich_help_panel=SEARCH)
    ] = 16,
    side: Annotated[
        int, typer.Option(min=16, help="Side of the centre crop of each image in pixels.", rich_help_panel=SEARCH)
    ] = 128,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="NET",
            help="Minimise a Frechet distance of this network's features: efficientnet-lite0, a .pt file.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Search for the best noise levels for few sampling steps.

    The levels are stored in the model, and sr3 upscale --steps N uses them. Ctrl-C ends the search and keeps the best.
    """
    from sr3.cli.progress import Display
    from sr3.data.opening import open_source, with_low_res
    from sr3.metrics.features import load_features
    from sr3.runtime.threads import choose_threads
    from sr3.sampling.plan import sampling_for
    from sr3.sampling.upscaler import open_upscaler
    from sr3.tuning import scoring
    from sr3.tuning.search import Trial, search_grid
    from sr3.zoo import find_model

    choose_threads(threads)
    announce_code({"--features": features})
    path = find_model(model)
    target = scoring.target_of(model, path, output)
    scoring.check_target(path, target, overwrite=overwrite)
    upscaler = open_upscaler(model, device=device)
    sampling = sampling_for(upscaler.info, steps=steps, sampler=sampler)
    start = scoring.start_of(sampling)
    scoring.check_pairs(upscaler.info, low_res)
    source = open_source(data)
    if low_res is not None:
        source = with_low_res(source, low_res, scale=upscaler.scale)
    pairs = scoring.held_out_pairs(source, upscaler, images=images, side=side)
    together = 1 if upscaler.device.type == "cpu" else 16
    scorer = scoring.GridScorer(
        upscaler, sampling, pairs, [load_features(features)] if features else [], together=together
    )
    trials: list[Trial] = []
    with Display(budget) as display, suppress(KeyboardInterrupt):
        for trial in search_grid(scorer, start, budget=budget):
            trials.append(trial)
            line = f"{trial.number}: {trial.source}, {scorer.metric} {trial.score:.4g}, best {trial.best:.4g}"
            display.advance(line, trial.number)
            display.say(line)
    if not trials:
        raise KeyboardInterrupt
    found = scoring.choose(scorer, trials)
    scoring.keep_grid(path, target, upscaler.info, found)
    typer.echo(
        f"{target}: {steps} steps of {found.sampler}, {len(trials)} grids tried; with other noise "
        f"{found.metric} {found.before:.4g} -> {found.score:.4g}"
    )
