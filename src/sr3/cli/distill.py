"""`sr3 distill`: train a student that samples in fewer steps than its teacher."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import Threads

__all__ = ["distill"]


def distill(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The teacher: a model's name, its file, a run's folder.")
    ],
    data: Annotated[
        str, typer.Option(metavar="SRC", help="Folder of pictures; .tar shards (file, folder, pattern, URL); hf:NAME.")
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run; the same command again resumes it.")],
    steps: Annotated[int, typer.Option(min=1, max=64, help="Refinement steps, and calls, of the student.")] = 4,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=value", help="Change a setting; may be repeated."),
    ] = None,
    low_res: Annotated[
        Path | None, typer.Option(metavar="LR", help="Folder of low-resolution versions, as for train.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Refine the picture of this model, a regression of family span.")
    ] = None,
    max_time: Annotated[str, typer.Option(help="Stop in order after this long: 90s, 25m, 12h.")] = "10000h",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Threads = None,
) -> int:
    """Teach a model to sample in few steps, or go on with a run that was stopped."""
    from sr3.cli.train import check_code, check_pairs, hold, with_pairs
    from sr3.data.opening import open_supply
    from sr3.duration import parse_duration
    from sr3.inference.device import choose_device
    from sr3.inference.threads import choose_threads
    from sr3.training.mean import read_mean
    from sr3.training.origin import Origins
    from sr3.training.run_dir import RunDir
    from sr3.training.teaching import check_same, check_student, read_teacher, student_config

    choose_threads(threads)
    seconds = parse_duration(max_time)
    teacher = read_teacher(model)
    check_same(RunDir(out.resolve()), teacher)
    refined = read_mean(mean) if mean is not None else None
    config = student_config(teacher, steps=steps, changes=with_pairs(change, low_res), mean=refined)
    check_code(config, change)
    check_pairs(config, low_res)
    check_student(config, teacher)
    source = open_supply(data, low_res=low_res, stream=config.data.stream, scale=config.data.scale)
    origins = Origins(teacher, refined)
    return hold(config, source, out, device=choose_device(device), max_seconds=seconds, origins=origins)
