"""Evaluate several models of one task: the paper's Table 1 on your own images.

    python benchmarks/replication.py SRC sr3=runs/faces-sr3 regression=runs/faces-regression --out results.json

The metrics are those of `sr3 evaluate`. Models and bicubic are evaluated with one sample per image, models also without
the correction of low frequencies, as in the paper. A second report has several samples of the first images, for
diversity and calibration. Features are compared on patches, so that there are more of them than dimensions.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from quality import markdown, measured

from sr3.atomic import whole_file
from sr3.data.opening import open_source
from sr3.errors import ConfigError, Sr3Error
from sr3.evaluation.cases import open_cases
from sr3.evaluation.inputs import NetworkNames, load_networks, named, open_model
from sr3.evaluation.methods import FilterMethod, Method, ModelMethod
from sr3.evaluation.report import Report
from sr3.evaluation.settings import Networks, Settings
from sr3.sampling.plan import sampling_for


def open_methods(models: Sequence[str]) -> list[ModelMethod]:
    """Open models written NAME=MODEL, each with one sample; ConfigError when they enlarge by different scales."""
    methods: list[ModelMethod] = []
    for text in models:
        name, where = named(text)
        upscaler, digest = open_model(where, device="auto", dtype="auto")
        methods.append(ModelMethod(name, upscaler, digest, sampling_for(upscaler.info), 0, 1))
    scales = sorted({method.upscaler.scale for method in methods})
    if len(scales) > 1:
        raise ConfigError(
            f"the models enlarge by different scales ({', '.join(map(str, scales))}); evaluate them separately"
        )
    return methods


def uncorrected(method: ModelMethod) -> ModelMethod:
    """Build the same method without the correction of low frequencies."""
    sampling = method.sampling.model_copy(update={"correct": False})
    return replace(method, name=f"{method.name}, uncorrected", sampling=sampling)


def run(options: argparse.Namespace) -> None:
    """Evaluate, print and save."""
    torch.set_num_threads(options.threads)
    models = open_methods(options.models)
    first = models[0].upscaler
    degradation = first.info.config.data.degradation
    settings = Settings(scale=first.scale, degradation=degradation, patch=options.patch)
    source = open_source(options.source)

    def report(methods: Sequence[Method], chosen: Settings, networks: Networks, limit: int) -> Report:
        cases = open_cases(source, options.source, settings=chosen, inputs=None, input_where="", first=limit)
        found = measured(cases, methods, networks, options.source)
        print(f"{len(cases)} images, {chosen.samples} samples per image\n\n{markdown(found, [])}\n")
        return found

    single: list[Method] = [FilterMethod("bicubic", "bicubic", first.scale), *models, *map(uncorrected, models)]
    networks = load_networks(NetworkNames(features=options.features))
    reports = {"one sample": report(single, settings, networks, options.limit)}
    sampled = [replace(one, count=options.samples) for one in models if one.sampling.sampler != "regression"]
    if sampled:
        several = replace(settings, samples=options.samples)
        reports["several samples"] = report(sampled, several, Networks(), options.diverse)
    if options.out is not None:
        kept = {name: one.model_dump(mode="json") for name, one in reports.items()}
        with whole_file(options.out) as temporary:
            temporary.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SRC", help="folder or shards of truths")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL", help="models to evaluate")
    parser.add_argument("--features", default="efficientnet-lite0", help="as for `sr3 evaluate`")
    parser.add_argument("--patch", type=int, default=64, help="side of the patches whose features are compared (64)")
    parser.add_argument("--limit", type=int, default=10_000, help="only the first images by name")
    parser.add_argument("--diverse", type=int, default=32, help="images with several samples (32)")
    parser.add_argument("--samples", type=int, default=8, help="samples per such image (8)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON with both reports")
    try:
        run(parser.parse_args(arguments))
    except (Sr3Error, OSError) as error:
        print(f"replication.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
