"""`sr3 search-schedule`: the best levels for a number of steps, found on held-out pictures."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import Threads, say_what_runs

__all__ = ["search_schedule"]


def search_schedule(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, its file, or a run's folder.")],
    data: Annotated[str, typer.Option(metavar="SRC", help="Pictures that the model has not seen: folder or shards.")],
    steps: Annotated[int, typer.Option(min=1, max=100, help="Refinement steps to find levels for.")],
    low_res: Annotated[
        Path | None, typer.Option(metavar="LR", help="Low-resolution versions, for a model that learnt from such.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="As for upscale.  [default: the model's]")] = None,
    budget: Annotated[int, typer.Option(min=2, help="Grids to try.")] = 60,
    images: Annotated[int, typer.Option(min=2, help="Pictures to try them on, spread evenly over SRC.")] = 16,
    side: Annotated[int, typer.Option(min=16, help="Pixels of the middle of each picture that are used.")] = 128,
    features: Annotated[
        str | None, typer.Option(metavar="NET", help="Network for a Frechet distance: efficientnet-lite0, a .pt file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The model with the levels.  [default: MODEL itself]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another model that exists.")] = False,
) -> None:
    """Search the levels of a sampler and keep the best in the model; `sr3 upscale --steps N` then uses them.

    Ctrl-C ends the search with the best so far.
    """
    from sr3.cli.progress import Display
    from sr3.data.opening import open_source, with_low_res
    from sr3.inference import scoring
    from sr3.inference.plan import sampling_for
    from sr3.inference.search import Trial, search_grid
    from sr3.inference.threads import choose_threads
    from sr3.inference.upscaler import open_upscaler
    from sr3.metrics.features import load_features
    from sr3.zoo import find_model

    choose_threads(threads)
    say_what_runs({"--features": features})
    path = find_model(model)
    target = output or path
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
