"""`sr3 upscale`: pictures in, larger pictures out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.zoo import DEFAULT_MODEL

if TYPE_CHECKING:
    from sr3.cli.progress import Display
    from sr3.inference.jobs import FileEvent, Job

__all__ = ["upscale"]


def upscale(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Pictures, or folders of pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder; a file for one picture.")],
    model: Annotated[
        str, typer.Option(help="A packaged model's name, a .safetensors file, a run's folder.")
    ] = DEFAULT_MODEL,
    steps: Annotated[int | None, typer.Option(help="Refinement steps.  [default: the model's]")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ancestral, ddim, dpmpp-2m, heun, ...; docs/samplers.md.  [default: the model's]")
    ] = None,
    grid: Annotated[str | None, typer.Option(help="linear, cosine, log_snr, karras.  [default: the model's]")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Different results for each picture.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    tile: Annotated[int, typer.Option(min=1, help="Largest window, pixels of the result.")] = 1024,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
) -> int:
    """Upscale pictures by sampling from the model. Results keep their names; existing ones are skipped."""
    from sr3.cli.progress import Display
    from sr3.inference.jobs import Request, plan_jobs, upscale_files
    from sr3.inference.upscaler import open_upscaler, sampling_for

    jobs = plan_jobs(inputs, output, samples=samples)
    upscaler = open_upscaler(model, device=device, dtype=dtype, tile=tile)
    sampling = sampling_for(upscaler.info, steps=steps, sampler=sampler, grid=grid)
    request = Request(sampling, seed=seed, samples=samples, overwrite=overwrite)
    failed, numbers = 0, {job: number for number, job in enumerate(jobs)}
    with Display(len(jobs)) as display:
        for event in upscale_files(upscaler, jobs, request):
            failed += show(display, event, numbers)
    return 0 if failed == 0 else 2 if failed == len(jobs) else 1


def show(display: "Display", event: "FileEvent", numbers: "dict[Job, int]") -> int:
    """Put an event on the screen and return how many pictures failed by it."""
    from sr3.inference.jobs import Done, Failed, Refined, Skipped

    match event:
        case Refined(job, step, steps):
            display.advance(f"[{numbers[job] + 1}/{len(numbers)}] {job.source.name}", numbers[job] + step / steps)
        case Done(job, written, size_in, size_out, seconds):
            sizes = f"{size_in[0]}x{size_in[1]} -> {size_out[0]}x{size_out[1]}"
            display.say(f"{job.source}: {sizes} in {seconds:.1f} s: {', '.join(map(str, written))}")
        case Skipped(job):
            display.say(f"{job.source}: {job.target} exists, skipped; replace it with --overwrite")
        case Failed(_, reason):
            display.complain(reason)
            return 1
    return 0
