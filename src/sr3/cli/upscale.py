"""`sr3 upscale`: upscale images and folders of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr3.cli.options import IN_OUT, MACHINE, SAMPLING, SIZE, Device, DType, Threads
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL

if TYPE_CHECKING:
    from sr3.cli.progress import Display
    from sr3.upscaling.jobs import FileEvent
    from sr3.upscaling.naming import Job

__all__ = ["EXAMPLES", "upscale"]

EXAMPLES = """
sr3 upscale photo.jpg                            # writes photo-x4.jpg beside it
sr3 upscale archive/ -o large/ --recursive --long-side 3000 --manifest large.jsonl
sr3 upscale photo.jpg -o large/ --uncertainty    # eight samples and a map of their deviation
"""


def upscale(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Images, or folders of images.", rich_help_panel=IN_OUT, readable=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Folder; a file for one image.  [default: NAME-x4 beside each image]",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive",
            help="Also images in subfolders, written into the same subfolders of OUT.",
            rich_help_panel=IN_OUT,
        ),
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Write one JSON line per file: digest, settings, seconds, error. Resuming reads it.",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only the I-th of N shares of the files.", rich_help_panel=IN_OUT),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            help="Pattern of file names, made of {stem}, {scale}, {model} and {suffix}.", rich_help_panel=IN_OUT
        ),
    ] = "{stem}",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="png, jpg, webp, tif, bmp, avif, heic, jxl, npy, or same: the input's.",
            rich_help_panel=IN_OUT,
        ),
    ] = "same",
    quality: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="Quality of JPEG, WebP, AVIF, HEIC and JPEG XL files.", rich_help_panel=IN_OUT
        ),
    ] = 95,
    values: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="Value range used in the file, or auto or type; e.g. 0,4095 for 12 bits in a 16-bit file.",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    geo: Annotated[
        bool,
        typer.Option(
            "--geo",
            help="Upscale GeoTIFFs of any size in windows; keeps nodata, bands and georeference; needs sr3[geo].",
            rich_help_panel=IN_OUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=IN_OUT)
    ] = False,
    scale: Annotated[
        float | None,
        typer.Option(help="Scale factor, such as 2, 1.5 or 8.  [default: the model's]", rich_help_panel=SIZE),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Width of the result in pixels.", rich_help_panel=SIZE)
    ] = None,
    height: Annotated[
        int | None, typer.Option(min=1, help="Height of the result in pixels.", rich_help_panel=SIZE)
    ] = None,
    long_side: Annotated[
        int | None, typer.Option(min=1, help="Longer side of the result in pixels.", rich_help_panel=SIZE)
    ] = None,
    megapixels: Annotated[
        float | None, typer.Option(help="Size of the result in megapixels.", rich_help_panel=SIZE)
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="The largest size that fits into this box.", rich_help_panel=SIZE),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Samples per image.  [default: 1; 8 with --uncertainty]", rich_help_panel=SAMPLING),
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also write the mean and the standard deviation of the samples, and the two that differ most.",
            rich_help_panel=SAMPLING,
        ),
    ] = False,
    detail: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="From 0, smooth and close to the truth, to 1, a full sample.  [default: the model's]",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    restoration: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            help="Strength of the model's restoration network: 0 for none, 1 as in training, at most 2; or auto, by "
            "the quality of a JPEG file and as the model measures it in the image.  [default: auto]",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Sampling steps.  [default: the model's]", rich_help_panel=SAMPLING)
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="ancestral, ancestral-posterior, ddim, dpmpp-2m, heun, probability-flow or predictor-corrector.  "
            "[default: the model's]",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Noise levels: linear, cosine, log_snr or karras.  [default: the model's]", rich_help_panel=SAMPLING
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", rich_help_panel=SAMPLING)] = 0,
    save_process: Annotated[
        bool,
        typer.Option(
            "--save-process",
            help="Also write the steps from noise to result, as a strip and as an animation.",
            rich_help_panel=SAMPLING,
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of a packaged model, a .safetensors file, the folder of a run, or hf:OWNER/NAME[@REVISION].  "
            f"[default: {DEFAULT_MODEL}; {REFINING_MODEL} with --steps, --sampler, --grid, --detail, --save-process]",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Device = "auto",
    dtype: DType = "auto",
    threads: Threads = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest side of a tile, in pixels of the result.  [default: chosen by free memory]",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(help="Refuse an image that is expected to take longer: 90s, 25m, 12h.", rich_help_panel=MACHINE),
    ] = None,
) -> int:
    """Upscale images by sampling from a model. Existing results are skipped."""
    from sr3.cli.progress import Display
    from sr3.digest import digest_of
    from sr3.duration import parse_duration
    from sr3.errors import ConfigError
    from sr3.runtime.shares import open_share, parse_share, wait_for_all
    from sr3.runtime.threads import choose_threads
    from sr3.sampling.plan import as_plan, sampling_for
    from sr3.sampling.upscaler import open_upscaler
    from sr3.upscaling.drawing import Request
    from sr3.upscaling.jobs import Done, upscale_files
    from sr3.upscaling.jpeg_quality import jpeg_advice, parse_strength
    from sr3.upscaling.manifest import Manifest
    from sr3.upscaling.naming import Naming, Outputs, plan_jobs
    from sr3.upscaling.noise_advice import warn_of_noise
    from sr3.upscaling.sizing import Sizing, parse_box
    from sr3.upscaling.value_range import parse_range
    from sr3.zoo import find_model

    choose_threads(threads)
    samples = samples or (8 if uncertainty else 1)
    if uncertainty and samples < 2:
        raise ConfigError("--uncertainty: needs several samples; give --samples 2 or more")
    if geo and (save_process or max_time):
        raise ConfigError("--geo: a scene takes no --save-process and no --max-time; leave them out")
    sizing = Sizing(scale, width, height, long_side, megapixels, parse_box(fit) if fit is not None else None)
    share, outputs = open_share(), Outputs(samples, uncertainty, save_process, scene=geo)
    refines = any(value is not None for value in (steps, sampler, grid, detail)) or save_process
    model = model or (REFINING_MODEL if refines else DEFAULT_MODEL)
    upscaler = open_upscaler(model, device=device, dtype=dtype, tile=tile or 1024)
    naming = Naming(name, form, upscaler.scale, upscaler.info.name, sizing)
    jobs = share.of(plan_jobs(inputs, output, outputs=outputs, naming=naming, recursive=recursive))
    jobs = parse_share(shard).of(jobs) if shard is not None else jobs
    sampling = sampling_for(upscaler.info, steps=steps, sampler=sampler, grid=grid, detail=detail)
    warn_of_noise(sampling)
    seconds = parse_duration(max_time) if max_time is not None else float("inf")
    ends = parse_range(values) if values is not None else None
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
        restoration=parse_strength(restoration, upscaler) if restoration is not None else "auto",
    )
    made_by = {"model": upscaler.info.name, "dtype": dtype, "seed": seed, "settings": request.described()}
    kept = Manifest(manifest, made_by | {"model_sha256": digest_of(find_model(model))}) if manifest else None
    failed, advice, numbers = 0, "", {job: number for number, job in enumerate(jobs)}
    with Display(len(jobs), quiet=share.rank > 0) as display:
        for event in upscale_files(upscaler, jobs, request, kept):
            failed += show(display, event, numbers)
            if not advice and isinstance(event, Done) and (advice := jpeg_advice(event.job.source, upscaler.info)):
                display.complain(advice)
    failed, total = wait_for_all(share, failed, len(jobs))
    return 0 if failed == 0 else 2 if failed == total else 1


def show(display: "Display", event: "FileEvent", numbers: "dict[Job, int]") -> int:
    """Display an event and return the number of images that failed."""
    from sr3.upscaling.jobs import Done, Failed, Refined, Retried, Skipped

    match event:
        case Refined(job, step, steps, _, _):
            display.advance(f"[{numbers[job] + 1}/{len(numbers)}] {job.source.name}", numbers[job] + step / steps)
        case Done(job, written, size_in, size_out, seconds, _, strength):
            sizes = f"{size_in[0]}x{size_in[1]} -> {size_out[0]}x{size_out[1]}"
            cleaned = "" if strength is None else f", cleaned at {strength:.2f}"
            display.say(f"{job.source}: {sizes} in {seconds:.1f} s{cleaned}: {', '.join(map(str, written))}")
        case Retried(job, tile):
            display.complain(f"{job.source}: the memory ran out; trying windows of {tile} pixels")
        case Skipped(job):
            display.say(f"{job.source}: {job.target} exists, skipped; replace it with --overwrite")
        case Failed(_, reason):
            display.complain(reason)
            return 1
    return 0
