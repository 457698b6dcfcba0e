"""Measure models of one task side by side: the paper's Table 1 on one's own images.

    python benchmarks/replication.py SRC sr3=runs/faces-sr3 regression=runs/faces-regression --out results.json

Truths come from a folder or shards; their low-resolution versions by antialiased bicubic, rounded to 8 bits, as are all
results. Bicubic enlargement is measured too. Features are compared on patches, so that there are more of them than
dimensions; diversity on several samples of the first pictures.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sr3.atomic import whole_file
from sr3.build import build_recipe
from sr3.data.dataset import PairDataset
from sr3.data.opening import open_source
from sr3.data.pairs import Pair
from sr3.errors import ConfigError, Sr3Error
from sr3.images.files import Picture, write_picture
from sr3.inference.plan import sampling_for
from sr3.inference.upscaler import Upscaler, open_upscaler
from sr3.metrics.calibration import rank_coverage
from sr3.metrics.distortion import consistency, psnr, sharpness, ssim
from sr3.metrics.distribution import frechet_distance
from sr3.metrics.diversity import deviation
from sr3.metrics.features import load_features

BATCH = 10
ROWS = {
    "psnr": ("PSNR, dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "consistency_e5": ("consistency x1e-5", ".2f"),
    "uncorrected_e5": ("without correction", ".2f"),
    "sharpness": ("sharpness to truth", ".3f"),
    "distance": ("feature distance", ".1f"),
    "deviation": ("deviation of samples /255", ".2f"),
    "coverage": ("truth inside samples", ".3f"),
}


def as_saved(image: Tensor) -> Tensor:
    """Round to the 256 levels of a file."""
    return ((image.cpu().float().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def read_pairs(where: str, upscaler: Upscaler, limit: int) -> list[Pair]:
    """Make pairs of whole pictures, which must all be of one size."""
    source = open_source(where)
    recipe = build_recipe(upscaler.info.config.data.model_copy(update={"crop": 0, "cache_gib": 0.0}))
    dataset = PairDataset(source, recipe)
    pairs = [dataset.centre(index, 4096) for index in range(min(len(source), limit))]
    sizes = sorted({f"{pair.y0.shape[-1]}x{pair.y0.shape[-2]}" for pair in pairs})
    if len(sizes) > 1:
        raise ConfigError(f"{where}: has pictures of different sizes ({', '.join(sizes)}); prepare them alike")
    return pairs


def draw(upscaler: Upscaler, low_res: Tensor, seed: int, *, corrected: bool) -> Tensor:
    """Draw one sample a picture, batch by batch."""
    sampling = sampling_for(upscaler.info).model_copy(update={"correct": corrected})
    parts: list[Tensor] = []
    for start in range(0, len(low_res), BATCH):
        part = low_res[start : start + BATCH]
        seeds = [seed * 100_000 + start + k for k in range(len(part))]
        parts.append(upscaler.upscale(part, sampling=sampling, seeds=seeds).cpu())
        print(f"{upscaler.info.name}, sample {seed}: {start + len(part)} of {len(low_res)}", file=sys.stderr)
    return torch.cat(parts)


def patches(images: Tensor, side: int) -> Iterator[Tensor]:
    """Cut every picture into patches that overlap by half."""
    cut = images.unfold(2, side, side // 2).unfold(3, side, side // 2)
    return iter(cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).split(64))


def measure(image: Tensor, low_res: Tensor, truth: Tensor) -> dict[str, float]:
    """Take the figures that one sample a picture gives."""
    return {
        "psnr": float(psnr(image, truth).mean()),
        "ssim": float(ssim(image, truth).mean()),
        "consistency_e5": 1e5 * float(consistency(image, low_res).mean()),
        "sharpness": float((sharpness(image) / sharpness(truth)).mean()),
    }


def run(options: argparse.Namespace) -> None:
    """Measure, print and keep."""
    torch.set_num_threads(options.threads)
    models: dict[str, Upscaler] = {}
    for named in options.models:
        name, equals, where = named.partition("=")
        if not equals:
            raise ConfigError(f"{named}: write it as NAME=MODEL")
        models[name] = open_upscaler(where)
    pairs = read_pairs(options.source, next(iter(models.values())), options.limit)
    truth, low_res = torch.stack([pair.y0 for pair in pairs]), torch.stack([pair.low_res for pair in pairs])
    bicubic = as_saved(torch.stack([pair.x for pair in pairs]))
    features = load_features(options.features)
    true_features = features(patches(truth, options.patch))
    results = {"bicubic": bicubic}
    figures = {"bicubic": measure(bicubic, low_res, truth)}
    for name, upscaler in models.items():
        raw = draw(upscaler, low_res, 0, corrected=False)
        results[name] = as_saved(upscaler.correct(raw, low_res))
        figures[name] = measure(results[name], low_res, truth)
        figures[name]["uncorrected_e5"] = measure(as_saved(raw), low_res, truth)["consistency_e5"]
        if sampling_for(upscaler.info).sampler != "regression":
            few = low_res[: options.diverse]
            samples = torch.stack([draw(upscaler, few, seed, corrected=True) for seed in range(options.samples)])
            figures[name]["deviation"] = 255 * float(deviation(samples).mean())
            figures[name]["coverage"] = float(rank_coverage(samples, truth[: len(few)]).mean())
    for name, image in results.items():
        figures[name]["distance"] = frechet_distance(features(patches(image, options.patch)), true_features)
    print(f"{len(pairs)} pictures; feature distance: FD ({features.name}) on patches of {options.patch}\n")
    print(table(figures))
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
        for start in range(0, min(len(pairs), 24), 8):
            columns = [image[start : start + 8] for image in (*results.values(), truth)]
            sheet = torch.cat([torch.cat(list(column), dim=-2) for column in columns], dim=-1)
            write_picture(options.save / f"{'-'.join(results)}-truth-{start}.png", Picture(sheet))
    if options.out is not None:
        about = {name: upscaler.info.model_dump(mode="json") for name, upscaler in models.items()}
        kept = {"pictures": len(pairs), "features": features.name, "digest": features.digest, "figures": figures}
        with whole_file(options.out) as temporary:
            temporary.write_text(json.dumps({**kept, "models": about}, indent=1), encoding="utf-8")


def table(figures: dict[str, dict[str, float]]) -> str:
    """Lay the figures out in markdown, one a row."""
    lines = [f"| | {' | '.join(figures)} |", f"|---|{'---:|' * len(figures)}"]
    for key, (title, form) in ROWS.items():
        cells = [format(row[key], form) if key in row else "" for row in figures.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SRC", help="folder or shards of truths, all of one size")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL", help="what to measure")
    parser.add_argument("--features", default="efficientnet-lite0", help="as for `sr3 search-schedule`")
    parser.add_argument("--patch", type=int, default=64, help="side of the patches whose features are compared")
    parser.add_argument("--limit", type=int, default=10_000, help="only the first pictures")
    parser.add_argument("--diverse", type=int, default=32, help="pictures of which several samples are drawn")
    parser.add_argument("--samples", type=int, default=8, help="samples of each of those")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON with all figures and settings")
    parser.add_argument("--save", type=Path, metavar="DIR", help="sheets of pictures, a method a column")
    try:
        run(parser.parse_args(arguments))
    except (Sr3Error, OSError) as error:
        print(f"replication.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
