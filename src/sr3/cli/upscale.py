"""`sr3 upscale`: pictures in, larger pictures out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import Threads
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL

if TYPE_CHECKING:
    from sr3.cli.progress import Display
    from sr3.inference.jobs import FileEvent
    from sr3.inference.naming import Job

__all__ = ["upscale"]


def upscale(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Pictures, or folders of pictures.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="Folder; a file for one picture.  [default: NAME-x4 beside each]"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A packaged model's name, a .safetensors file, a run's folder.  "
            f"[default: {DEFAULT_MODEL}; {REFINING_MODEL} with --steps, --sampler, --grid, --detail, --save-process]"
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Times as wide and high, such as 2, 1.5 or 8.  [default: the model's]")
    ] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Width of results in pixels.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Height of results in pixels.")] = None,
    long_side: Annotated[int | None, typer.Option(min=1, help="Longer side of results in pixels.")] = None,
    megapixels: Annotated[float | None, typer.Option(help="Millions of pixels of results.")] = None,
    fit: Annotated[str | None, typer.Option(metavar="WxH", help="Largest results within this box.")] = None,
    steps: Annotated[int | None, typer.Option(help="Refinement steps.  [default: the model's]")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ancestral, ddim, dpmpp-2m, heun, ...; docs/samplers.md.  [default: the model's]")
    ] = None,
    grid: Annotated[str | None, typer.Option(help="linear, cosine, log_snr, karras.  [default: the model's]")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Different results for each picture.  [default: 1; 8 for --uncertainty]")
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Write the samples' mean, deviation and two most different, too.")
    ] = False,
    detail: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="0: smooth and near to the truth; 1: a whole sample.  [default: the model's]"),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            "--range", metavar="LOW,HIGH", help="Numbers the file uses, or auto: for 12 bits in 16, reflectance, ..."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    tile: Annotated[
        int | None, typer.Option(min=1, help="Largest window, pixels of the result.  [default: by free memory]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Threads = None,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    form: Annotated[
        str, typer.Option("--format", help="png, jpg, webp, tif, bmp, npy, or same: the input's.")
    ] = "same",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    name: Annotated[str, typer.Option(help="Names of results: {stem}, {scale}, {model}, {suffix}.")] = "{stem}",
    save_process: Annotated[
        bool, typer.Option("--save-process", help="Write the way from noise to result, as strip and as animation.")
    ] = False,
    max_time: Annotated[
        str | None, typer.Option(help="Refuse pictures expected to take longer: 90s, 25m, 12h.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
) -> int:
    """Upscale pictures by sampling from the model. Results keep their names; existing ones are skipped."""
    from sr3.cli.progress import Display
    from sr3.duration import parse_duration
    from sr3.errors import ConfigError
    from sr3.inference.advice import warn_of_noise
    from sr3.inference.drawing import Request
    from sr3.inference.jobs import upscale_files
    from sr3.inference.naming import Naming, Outputs, plan_jobs
    from sr3.inference.plan import as_plan, sampling_for
    from sr3.inference.shares import open_share, wait_for_all
    from sr3.inference.sizing import Sizing, parse_box
    from sr3.inference.threads import choose_threads
    from sr3.inference.upscaler import open_upscaler
    from sr3.inference.value_range import parse_range

    choose_threads(threads)
    samples = samples or (8 if uncertainty else 1)
    if uncertainty and samples < 2:
        raise ConfigError("--uncertainty: one sample shows none; give --samples 2 or more")
    sizing = Sizing(scale, width, height, long_side, megapixels, parse_box(fit) if fit else None)
    share, outputs = open_share(), Outputs(samples, uncertainty, save_process)
    refines = any(value is not None for value in (steps, sampler, grid, detail)) or save_process
    model = model or (REFINING_MODEL if refines else DEFAULT_MODEL)
    upscaler = open_upscaler(model, device=device, dtype=dtype, tile=tile or 1024)
    naming = Naming(name, form, upscaler.scale, upscaler.info.name, sizing)
    jobs = share.of(plan_jobs(inputs, output, outputs=outputs, naming=naming))
    sampling = sampling_for(upscaler.info, steps=steps, sampler=sampler, grid=grid, detail=detail)
    warn_of_noise(sampling)
    seconds = parse_duration(max_time) if max_time else float("inf")
    ends = parse_range(values) if values else None
    request = Request(
        as_plan(sampling),
        seed,
        outputs,
        overwrite,
        quality,
        tile or "auto",
        max_seconds=seconds,
        values=ends,
        sizing=sizing,
    )
    failed, numbers = 0, {job: number for number, job in enumerate(jobs)}
    with Display(len(jobs), quiet=share.rank > 0) as display:
        for event in upscale_files(upscaler, jobs, request):
            failed += show(display, event, numbers)
    failed, total = wait_for_all(share, failed, len(jobs))
    return 0 if failed == 0 else 2 if failed == total else 1


def show(display: "Display", event: "FileEvent", numbers: "dict[Job, int]") -> int:
    """Put an event on the screen and return how many pictures failed by it."""
    from sr3.inference.jobs import Done, Failed, Refined, Retried, Skipped

    match event:
        case Refined(job, step, steps):
            display.advance(f"[{numbers[job] + 1}/{len(numbers)}] {job.source.name}", numbers[job] + step / steps)
        case Done(job, written, size_in, size_out, seconds):
            sizes = f"{size_in[0]}x{size_in[1]} -> {size_out[0]}x{size_out[1]}"
            display.say(f"{job.source}: {sizes} in {seconds:.1f} s: {', '.join(map(str, written))}")
        case Retried(job, tile):
            display.complain(f"{job.source}: the memory ran out; trying windows of {tile} pixels")
        case Skipped(job):
            display.say(f"{job.source}: {job.target} exists, skipped; replace it with --overwrite")
        case Failed(_, reason):
            display.complain(reason)
            return 1
    return 0
