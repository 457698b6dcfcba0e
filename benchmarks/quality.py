"""Evaluate a model with several samplers and step counts on a folder of images, with bicubic and Lanczos.

    python benchmarks/quality.py DIR --model NAME|FILE --steps 8 32 --sampler ddim --out results.json

The metrics are those of `sr3 evaluate` with ST-LPIPS, one sample per image; inputs are made by antialiased bicubic.
The time of each method is added. The table is printed; `--out` saves the report and the seconds of every image.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch

from sr3.atomic import whole_file
from sr3.config import SamplingConfig
from sr3.data.opening import open_source
from sr3.errors import ConfigError, Sr3Error
from sr3.evaluation.cases import Case, Cases, open_cases
from sr3.evaluation.inputs import NetworkNames, load_networks, open_model
from sr3.evaluation.methods import FilterMethod, Method, ModelMethod
from sr3.evaluation.report import Report
from sr3.evaluation.run import evaluate
from sr3.evaluation.settings import Networks, Settings
from sr3.evaluation.table import report_rows
from sr3.images.resize import Filter
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import Upscaler
from sr3.types import Image
from sr3.zoo import DEFAULT_MODEL

WARM_UP = 16
"""Side of the input of a warm-up call, which is not timed."""


@dataclass(frozen=True)
class Timed:
    """A method that records its time: seconds by image, and megapixels of each result."""

    method: Method
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    megapixels: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def name(self) -> str:
        """Name the method."""
        return self.method.name

    def settings(self) -> dict[str, Any]:
        """Give the settings of the method."""
        return self.method.settings()

    def samples(self, case: Case) -> Image:
        """Draw the samples of the method and record the time."""
        if not self.seconds and case.low_res is not None:
            self.method.first(Case(case.name, case.truth, case.low_res[..., :WARM_UP, :WARM_UP], -1, case.top, (0, 0)))
        began = time.perf_counter()
        found = self.method.samples(case)
        self.seconds[case.name] = time.perf_counter() - began
        self.megapixels[case.name] = found[:, 0].numel() / 1e6
        return found

    def first(self, case: Case) -> Image:
        """Draw one sample."""
        return self.method.first(case)


def measured(cases: Cases, methods: Sequence[Method], networks: Networks, where: str) -> Report:
    """Evaluate methods, with progress on stderr, and return the last report."""
    found: Report | None = None
    for event in evaluate(cases, methods, networks, {"truth": where, "input": "made from the truths"}):
        if isinstance(event, Report):
            found = event
        else:
            print(f"{event.picture}: {event.method}", file=sys.stderr, flush=True)
    assert found is not None
    return found


def with_eta(sampling: SamplingConfig, eta: float | str) -> SamplingConfig:
    """Set eta of a sampler; ConfigError when it is not a number from 0 to 1."""
    try:
        share = float(eta)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"eta {eta}: give a number from 0 to 1")
    return sampling.model_copy(update={"eta": share})


def samplings(upscaler: Upscaler, options: argparse.Namespace) -> Iterator[SamplingConfig]:
    """Combine the requested steps, samplers and grids; by default those of the model."""
    own = upscaler.info.config.sampling
    choices = (options.steps or [own.steps], options.sampler or [own.sampler], options.grid or [own.grid])
    for steps, sampler, grid in product(*choices):
        sampling = sampling_for(upscaler.info, steps=steps, sampler=sampler, grid=grid if options.grid else None)
        yield sampling if options.eta is None else with_eta(sampling, options.eta)


def methods_of(options: argparse.Namespace) -> list[Timed]:
    """List the filters and the model with each of its samplings."""
    upscaler, digest = open_model(options.model, device=options.device, dtype=options.dtype)
    methods: list[Method] = [
        FilterMethod(name, cast("Filter", name), upscaler.scale) for name in ("bicubic", "lanczos")
    ]
    for sampling in samplings(upscaler, options):
        name = f"{sampling.sampler}-{sampling.steps}-{sampling.grid}-eta{sampling.eta:g}"
        methods.append(ModelMethod(name, upscaler, digest, sampling, options.seed, 1))
    return [Timed(method) for method in methods]


def markdown(report: Report, methods: Sequence[Timed]) -> str:
    """Format the report and the times in Markdown, one method per column."""
    headings, rows = report_rows(report)
    times = {method.name: method for method in methods}
    for title, per in (("s/image", "seconds"), ("s/megapixel", "megapixels")) if methods else ():
        cells = [_time(times[name], per) if name in times else "" for name in headings[1:]]
        rows.append([title, *cells])
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _time(method: Timed, per: str) -> str:
    total = sum(method.seconds.values())
    return f"{total / (len(method.seconds) if per == 'seconds' else sum(method.megapixels.values())):.2f}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR", help="the truths: a folder or shards")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|FILE", help="as for `sr3 upscale`")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="refinement steps (the model's)")
    parser.add_argument("--sampler", nargs="+", metavar="S", help="samplers (the model's)")
    parser.add_argument("--grid", nargs="+", metavar="G", help="families of noise levels (the model's)")
    parser.add_argument("--eta", type=float, metavar="E", help="noise of ddim and dpmpp-2m (the model's)")
    parser.add_argument("--seed", type=int, default=0, help="as for `sr3 upscale` (0)")
    parser.add_argument("--limit", type=int, metavar="K", help="only the first K images by name")
    parser.add_argument("--perceptual", default="st-lpips", metavar="NET", help="as for `sr3 evaluate` (st-lpips)")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (its own choice)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON with the report and all times")
    options = parser.parse_args(arguments)
    for name in ("limit", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ConfigError(f"--{name} {value}: give at least 1")
    if options.out is not None and not options.out.parent.is_dir():
        raise ConfigError(f"--out {options.out}: its folder does not exist; create it first")
    return options


def benchmark(options: argparse.Namespace) -> None:
    """Evaluate, print and save."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    methods = methods_of(options)
    settings = Settings(scale=cast("FilterMethod", methods[0].method).scale, seed=options.seed)
    source = open_source(options.folder)
    cases = open_cases(source, options.folder, settings=settings, inputs=None, input_where="", first=options.limit)
    networks = load_networks(NetworkNames(perceptual=options.perceptual))
    report = measured(cases, methods, networks, options.folder)
    print(f"{options.model}, {len(cases)} images, torch {torch.__version__}\n\n{markdown(report, methods)}")
    if options.out is not None:
        kept = {"report": report.model_dump(mode="json"), "seconds": {one.name: one.seconds for one in methods}}
        with whole_file(options.out) as temporary:
            temporary.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    try:
        benchmark(parse(arguments))
    except (Sr3Error, OSError) as error:
        print(f"quality.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
