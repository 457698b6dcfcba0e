"""`sr3 distill`: train a student that samples in fewer steps than its teacher."""

from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, SETTINGS, Device, LowRes, MaxTime, Mean, Run, Set, Threads, TrainingData

__all__ = ["EXAMPLES", "distill"]

EXAMPLES = """
sr3 distill photos-x4 --data photos/ --out runs/four                  # four steps
sr3 distill runs/mine --data photos/ --out runs/eight --steps 8
sr3 distill photos-x4 --start photos-x4-fast --data photos/ --out runs/own --set training.steps=500
"""


def distill(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The teacher: a model's name, its file, a run's folder, or hf:OWNER/NAME.",
            rich_help_panel=IN_OUT,
        ),
    ],
    data: TrainingData,
    out: Run,
    low_res: LowRes = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Sampling steps, and so network calls, of the student; 4, or those of --start.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    change: Set = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Continue from the weights and settings of this student instead of the teacher's.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    mean: Mean = None,
    max_time: MaxTime = "10000h",
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Distil a model into one that samples in few steps.

    Running the same command again resumes a stopped run.
    """
    from sr3.cli.train import check_code, run_session
    from sr3.data.opening import open_supply
    from sr3.duration import parse_duration
    from sr3.runtime.device import choose_device
    from sr3.runtime.threads import choose_threads
    from sr3.training.mean import mean_of, read_mean
    from sr3.training.plan import Plan, check_pairs, with_pairs
    from sr3.training.run_dir import RunDir
    from sr3.training.source_model import SourceModels, with_source_model
    from sr3.training.teacher import check_same_teacher, check_student, read_student, read_teacher, student_config

    choose_threads(threads)
    seconds = parse_duration(max_time)
    teacher = read_teacher(model)
    check_same_teacher(RunDir(out.resolve()), teacher)
    student = read_student(start) if start is not None else None
    refined = read_mean(mean) if mean is not None else student and mean_of(student)
    config = student_config(teacher, steps=steps, changes=with_pairs(change, low_res), mean=refined, start=student)
    config = with_source_model(config, student, RunDir(out.resolve()))
    check_code(config, change)
    check_pairs(config, low_res)
    check_student(config, teacher)
    source = open_supply(data, low_res=low_res, stream=config.data.stream, scale=config.data.scale)
    plan = Plan(config, source, out, SourceModels(student, refined, teacher))
    return run_session(plan, device=choose_device(device), max_seconds=seconds)
