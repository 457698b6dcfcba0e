"""Measure sample quality against the number of network calls, sampler by sampler.

    python benchmarks/calls.py DIR --model NAME|FILE --calls 1 2 4 8 16 32 64 100 --out calls.json --plot calls.png

The metrics are those of `sr3 evaluate`, one sample per image. Truths are the centre squares of the images; inputs are
made by antialiased bicubic. Every sampler starts from the same noise. A sampler that takes several calls per step gets
as many steps as the calls allow. Features are compared on patches, so that there are more of them than images.
Needs matplotlib and the packages of ST-LPIPS and of the features (see docs).
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from quality import measured, with_eta

from sr3.atomic import whole_file
from sr3.config import SamplingConfig
from sr3.data.opening import open_source
from sr3.data.sources import NO_LABEL, Source
from sr3.diffusion.samplers import SAMPLERS
from sr3.errors import ConfigError, Sr3Error
from sr3.evaluation.cases import open_cases
from sr3.evaluation.inputs import NetworkNames, load_networks, open_model
from sr3.evaluation.methods import ModelMethod
from sr3.evaluation.settings import Settings
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import Upscaler
from sr3.zoo import REFINING_MODEL

SEARCHED = "searched"
RESAMPLES = 400
"""Bootstrap draws for intervals of means; the feature distance uses a twentieth, each of which takes a second."""
PLOTTED = {
    "perceptual": "ST-LPIPS",
    "distance": "feature distance",
    "psnr": "PSNR, dB",
    "sharpness": "sharpness to truth",
}
"""Metrics of the plot and of the table, with their headings."""
FORMS = {"perceptual": ".4f", "distance": ".1f", "psnr": ".2f", "sharpness": ".3f", "consistency": ".2f"}


@dataclass(frozen=True)
class Middles:
    """A source of the centre squares of the images of another source, as 8-bit RGB."""

    whole: Source
    side: int

    def __len__(self) -> int:
        """Count the images."""
        return len(self.whole)

    def name(self, index: int) -> str:
        """Name an image."""
        return self.whole.name(index)

    def read(self, index: int) -> bytes:
        """Crop the centre of an image, as PNG; ConfigError when the image is smaller."""
        with Image.open(io.BytesIO(self.whole.read(index))) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        left, top = (image.width - self.side) // 2, (image.height - self.side) // 2
        if min(left, top) < 0:
            raise ConfigError(
                f"{self.name(index)}: is smaller than --side {self.side}; give larger images or a smaller --side"
            )
        encoded = io.BytesIO()
        image.crop((left, top, left + self.side, top + self.side)).save(encoded, "PNG")
        return encoded.getvalue()

    def label(self, index: int) -> int:  # noqa: ARG002
        """Return no class."""
        return NO_LABEL

    def read_low(self, index: int) -> bytes | None:  # noqa: ARG002
        """Return no low-resolution version."""
        return None


def samplings(
    upscaler: Upscaler, samplers: Sequence[str], calls: Sequence[int]
) -> Iterator[tuple[SamplingConfig, int]]:
    """Combine samplers, written NAME, NAME:ETA or NAME:ETA:GRID, with numbers of calls; yields settings and calls.

    GRID `searched` uses the searched levels of the model for a number of steps, or its default grid if it has none.
    """
    for written in samplers:
        name, eta, grid, *_ = [*written.split(":"), "", ""]
        if name not in SAMPLERS:
            raise ConfigError(f"--sampler {written}: no such sampler; give one of {', '.join(SAMPLERS)}")
        traits = SAMPLERS[name].traits
        for steps in dict.fromkeys(traits.steps_within(wanted) for wanted in calls):
            family = None if grid == SEARCHED else grid or "cosine"
            sampling = sampling_for(upscaler.info, steps=steps, sampler=name, grid=family)
            if eta:
                sampling = with_eta(sampling, eta)
            if grid == SEARCHED and sampling.found is None:
                raise ConfigError(
                    f"{written}: the model has no searched levels for {steps} steps; run sr3 search-schedule first"
                )
            yield sampling, traits.calls(steps)


def label(sampling: SamplingConfig) -> str:
    """Name the sampler of a row, with eta and grid."""
    noise = f", eta {sampling.eta:g}" if SAMPLERS[sampling.sampler].traits.noise == "eta" else ""
    grid = SEARCHED if sampling.found else sampling.grid
    grid = "" if grid == "cosine" else f", {grid}"
    return f"{sampling.sampler}{noise}{grid}"


def run(options: argparse.Namespace) -> None:
    """Measure, print, save and plot."""
    torch.set_num_threads(options.threads)
    if options.join and options.plot is None:
        raise ConfigError("--join: has an effect on plots only; give --plot too")
    earlier = [row for path in options.join for row in _rows(path)]
    upscaler, digest = open_model(options.model, device=options.device, dtype="auto")
    settings = Settings(scale=upscaler.scale, patch=options.patch, seed=options.seed, resamples=RESAMPLES)
    where = str(options.folder)
    source = Middles(open_source(where), options.side)
    cases = open_cases(source, where, settings=settings, inputs=None, input_where="", first=options.limit)
    networks = load_networks(NetworkNames(features=options.features, perceptual=options.perceptual))
    rows: list[dict[str, Any]] = []
    about = f"FD ({options.features}), patches of {options.patch}"
    print(f"{upscaler.info.name}, {len(cases)} images of {options.side}; feature distance: {about}")
    print(f"\n| sampler | calls | {' | '.join([*PLOTTED.values(), 'consistency x1e-5'])} |")
    print(f"|---|---:|{'---:|' * len(FORMS)}", flush=True)
    protocol: dict[str, Any] = {}
    for sampling, calls in samplings(upscaler, options.sampler, options.calls):
        name = label(sampling)
        report = measured(cases, [ModelMethod(name, upscaler, digest, sampling, options.seed, 1)], networks, where)
        entry = report.methods[name]
        row = {key: float(entry.figures[key].value) for key in FORMS}
        print(f"| {name} | {calls} | {' | '.join(format(row[key], form) for key, form in FORMS.items())} |", flush=True)
        rows.append({"sampler": name, "calls": calls, **row, "settings": entry.settings, "pictures": entry.pictures})
        protocol = {"protocol": report.protocol, "environment": report.environment}
    if options.out is not None:
        kept = {"folder": where, "side": options.side, **protocol, "rows": rows}
        with whole_file(options.out) as temporary:
            temporary.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.plot is not None:
        plot([*earlier, *rows], options.plot)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is not a result of this script; give a file of --out") from error


def plot(rows: Sequence[dict[str, Any]], where: Path) -> None:
    """Plot each metric against the number of calls, one line per sampler."""
    from matplotlib.figure import Figure  # only for this option

    figure = Figure(figsize=(10, 7), layout="constrained")
    names = list(dict.fromkeys(row["sampler"] for row in rows))
    ticks = sorted({row["calls"] for row in rows if row["calls"] in {1, 2, 4, 8, 16, 32, 64, 100}})
    for place, (key, title) in enumerate(PLOTTED.items()):
        axes = figure.add_subplot(2, 2, place + 1)
        for name, mark in zip(names, cycle("os^Dv<>PX*")):
            points = sorted((row["calls"], row[key]) for row in rows if row["sampler"] == name)
            axes.plot(*zip(*points, strict=True), marker=mark, markersize=4, linewidth=1.2, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        if key != "psnr":
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.85 * min(row[key] for row in rows))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        axes.set(title=f"{title} by network calls")
        axes.grid(visible=True, which="both", alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    with whole_file(where) as temporary:
        figure.savefig(temporary, format=where.suffix.removeprefix("."), dpi=80)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the truths")
    parser.add_argument("--model", default=REFINING_MODEL, metavar="NAME|FILE", help="as for `sr3 upscale`")
    samplers = ["ancestral", "ddim:0", "dpmpp-2m:1", "heun"]
    parser.add_argument("--sampler", nargs="+", default=samplers, metavar="NAME[:ETA[:GRID]]", help="what to measure")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 100], metavar="N")
    parser.add_argument("--side", type=int, default=256, help="side of the centre squares (256)")
    parser.add_argument("--limit", type=int, metavar="K", help="only the first K images by name")
    parser.add_argument("--features", default="efficientnet-lite0", help="as for `sr3 search-schedule`")
    parser.add_argument("--perceptual", default="st-lpips", metavar="NET", help="as for `sr3 evaluate` (st-lpips)")
    parser.add_argument("--patch", type=int, default=64, help="side of the patches whose features are compared (64)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON with all metrics and settings")
    joined = "results of earlier runs to add to the plot"
    parser.add_argument("--join", type=Path, nargs="+", default=[], metavar="FILE", help=joined)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG or SVG of the metrics against the calls")
    try:
        run(parser.parse_args(arguments))
    except (Sr3Error, OSError) as error:
        print(f"calls.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
