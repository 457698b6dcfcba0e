"""Measure a model on a folder of pictures, beside bicubic and Lanczos enlargement.

    python benchmarks/quality.py DIR --model NAME|FILE --steps 8 32 --sampler ddim --out results.json

Every picture is the truth (sides cropped at the right and bottom to multiples of the scale); its low-resolution
version is made by antialiased bicubic. That version and every result are rounded to 8 bits, as in a file.
Figures are means over the pictures; the table is printed, `--out` keeps it with every setting and each picture.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sr3.atomic import whole_file
from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, ImageError, Sr3Error
from sr3.images.files import Picture, list_pictures, read_picture, write_picture
from sr3.images.resize import Filter, downsample, resize
from sr3.inference.plan import sampling_for
from sr3.inference.upscaler import Upscaler, open_upscaler
from sr3.metrics.distortion import consistency, psnr, sharpness
from sr3.metrics.stlpips import SMALLEST_SIDE, load_stlpips
from sr3.types import Image
from sr3.zoo import DEFAULT_MODEL

FLAT_DEVIATION = 2 / 255
"""Local standard deviation of the truth, in the [0, 1] range, below which an area is flat."""
FLAT_WINDOW = 9
"""Side in pixels of the window of that deviation."""
FLAT_LEAST = 1000
"""Flat pixels a picture needs for its grain to count."""

COLUMNS = {
    "psnr": ("PSNR, dB", ".2f"),
    "psnr_change": ("to bicubic", "+.2f"),
    "stlpips": ("ST-LPIPS", ".4f"),
    "stlpips_ratio": ("to bicubic", ".3f"),
    "consistency_e5": ("consistency x1e-5", ".2f"),
    "sharpness_ratio": ("sharpness to truth", ".3f"),
    "colour_shift": ("colour shift /255", ".3f"),
    "grain": ("grain /255", ".3f"),
    "grain_truth": ("truth's grain", ".3f"),
    "seconds": ("s/picture", ".2f"),
    "seconds_per_megapixel": ("s/megapixel", ".1f"),
}
"""Heading and format of each figure in the table."""

Figures = dict[str, float]
Distance = Callable[[Image, Image], Tensor]


@dataclass(frozen=True, eq=False)
class Pair:
    """A truth, its low-resolution version and that one's bicubic enlargement; (1, 3, h, w), 8-bit levels."""

    name: str
    truth: Image
    low_res: Image
    bicubic: Image


@dataclass(frozen=True)
class Method:
    """A way to enlarge `low_res` and all that decides its result."""

    name: str
    settings: dict[str, Any]
    enlarge: Callable[[Image], Image]


def as_saved(image: Image) -> Image:
    """Round to the 256 levels of a file and hold in the range, on the CPU."""
    return ((image.cpu().float() + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def read_pair(path: Path, scale: int) -> Pair:
    """Read a truth and make its low-resolution version; ImageError when it is too small or transparent."""
    picture = read_picture(path)
    if picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise ImageError(f"{path}: is transparent in part, so it has no one truth; measure opaque pictures")
    height, width = (side - side % scale for side in (picture.height, picture.width))
    if min(height, width) < max(SMALLEST_SIDE, scale):
        raise ImageError(
            f"{path}: {picture.width}x{picture.height} is too small; sides of {SMALLEST_SIDE} are the least"
        )
    truth = picture.pixels[:, :height, :width].expand(3, -1, -1)[None]
    low_res = as_saved(downsample(truth, scale))
    return Pair(path.name, truth, low_res, as_saved(resize(low_res, height, width)))


def interpolation(method: Filter, scale: int) -> Method:
    """Enlarge by a filter alone."""

    def enlarge(low_res: Image) -> Image:
        return resize(low_res, low_res.shape[-2] * scale, low_res.shape[-1] * scale, method=method)

    return Method(method, {"filter": method}, enlarge)


def sampled(upscaler: Upscaler, sampling: SamplingConfig, seed: int) -> Method:
    """Draw one sample a picture, the one that `sr3 upscale --seed` gives."""

    def enlarge(low_res: Image) -> Image:
        return upscaler.upscale(low_res, sampling=sampling, seeds=[mix_seed(seed, 0)]).cpu()

    name = f"{sampling.sampler}-{sampling.steps}-{sampling.grid}-eta{sampling.eta:g}"
    return Method(name, {**sampling.model_dump(mode="json"), "seed": seed, "correct": True}, enlarge)


def with_eta(sampling: SamplingConfig, eta: float | str) -> SamplingConfig:
    """Set the noise of a sampler; ConfigError when it is no number or not one from 0 to 1."""
    try:
        share = float(eta)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"eta {eta}: give a share of the posterior's noise, 0 to 1")
    return sampling.model_copy(update={"eta": share})


def samplings(upscaler: Upscaler, options: argparse.Namespace) -> Iterator[SamplingConfig]:
    """Combine the steps, samplers and grids asked for; the model's own where none is."""
    own = upscaler.info.config.sampling
    choices = (options.steps or [own.steps], options.sampler or [own.sampler], options.grid or [own.grid])
    for steps, sampler, grid in product(*choices):
        sampling = sampling_for(upscaler.info, steps=steps, sampler=sampler, grid=grid if options.grid else None)
        yield sampling if options.eta is None else with_eta(sampling, options.eta)


def colour_shift(image: Image, reference: Image) -> float:
    """Largest absolute difference of the channels' means, in levels of 1/255."""
    return ((image - reference).double().mean(dim=(-2, -1)).abs().max() * 127.5).item()


def flat_areas(truth: Image) -> Tensor:
    """Mark the pixels whose surroundings are flat in every channel, (1, 1, h, w); the borders are not."""
    margin = FLAT_WINDOW // 2
    unit = truth.double() / 2
    mean = avg_pool2d(unit, FLAT_WINDOW, stride=1)
    variance = avg_pool2d(unit.square(), FLAT_WINDOW, stride=1) - mean.square()
    flat = (variance < FLAT_DEVIATION**2).all(dim=1, keepdim=True)
    return torch.nn.functional.pad(flat, (margin,) * 4)


def grain(image: Image, flat: Tensor) -> float:
    """Standard deviation of pixel minus 3x3 mean over the flat areas, in 1/255; NaN where they are too small."""
    if int(flat.sum()) < FLAT_LEAST:
        return math.nan
    high_pass = image.double() - avg_pool2d(image.double(), 3, stride=1, padding=1)
    return (high_pass.masked_select(flat).std(correction=0) * 127.5).item()


def measure(image: Image, pair: Pair, stlpips: Distance) -> Figures:
    """Take all figures of one result but its time."""
    flat = flat_areas(pair.truth)
    return {
        "psnr": psnr(image, pair.truth).item(),
        "stlpips": stlpips(image, pair.truth).item(),
        "consistency_e5": consistency(image, pair.low_res).item() * 1e5,
        "sharpness_ratio": (sharpness(image) / sharpness(pair.truth)).item(),
        "colour_shift": colour_shift(image, pair.bicubic),
        "grain": grain(image, flat),
        "grain_truth": grain(pair.truth, flat),
        "megapixels": image[0, 0].numel() / 1e6,
    }


def run_all(pairs: Iterator[Pair], methods: Sequence[Method], save: Path | None) -> dict[str, dict[str, Figures]]:
    """Enlarge every picture by every method; figures by method, then by picture."""
    stlpips = load_stlpips()
    figures: dict[str, dict[str, Figures]] = {method.name: {} for method in methods}
    for number, pair in enumerate(pairs):
        for method in methods:
            if number == 0:
                method.enlarge(pair.low_res[..., :16, :16])  # torch prepares on its first call, which is not timed
            began = time.perf_counter()
            image = method.enlarge(pair.low_res)
            seconds = time.perf_counter() - began
            image = as_saved(image)
            figures[method.name][pair.name] = {**measure(image, pair, stlpips), "seconds": seconds}
            print(f"{pair.name}: {method.name} in {seconds:.2f} s", file=sys.stderr, flush=True)
            if save is not None:
                beside = torch.cat([pair.bicubic, image, pair.truth], dim=-1)[0]
                write_picture(save / f"{pair.name}-{method.name}.png", Picture(beside))
    return figures


def summarise(figures: dict[str, dict[str, Figures]]) -> dict[str, Figures]:
    """Average over the pictures and compare with bicubic; grain over those that have flat areas."""
    means = {method: {key: mean(rows, key) for key in next(iter(rows.values()))} for method, rows in figures.items()}
    reference = means["bicubic"]
    for row in means.values():
        row["psnr_change"] = row["psnr"] - reference["psnr"]
        row["stlpips_ratio"] = row["stlpips"] / reference["stlpips"]
        row["seconds_per_megapixel"] = row["seconds"] / row["megapixels"]
    return means


def mean(rows: dict[str, Figures], key: str) -> float:
    """Average a figure over the pictures that have it; NaN when none has."""
    known = [row[key] for row in rows.values() if not math.isnan(row[key])]
    return sum(known) / len(known) if known else math.nan


def table(means: dict[str, Figures]) -> str:
    """Lay the means out in markdown, one method a row."""
    head = ["method", *(heading for heading, _ in COLUMNS.values())]
    rows = [[name, *(format(row[key], form) for key, (_, form) in COLUMNS.items())] for name, row in means.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] + ["---:"] * len(COLUMNS), *rows])


def environment(upscaler: Upscaler, options: argparse.Namespace) -> dict[str, Any]:
    """Name everything that decides the figures besides the methods."""
    return {
        "model": {"asked": options.model, **upscaler.info.model_dump(mode="json")},
        "device": str(upscaler.device),
        "dtype": str(upscaler.dtype).removeprefix("torch."),
        "tile": upscaler.tile,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sr3": version("sr3"),
        "perceptual": f"ST-LPIPS, AlexNet, weights of stlpips-pytorch {version('stlpips-pytorch')}",
        "flat": {"deviation": FLAT_DEVIATION, "window": FLAT_WINDOW, "least_pixels": FLAT_LEAST},
    }


def without_nan(value: Any) -> Any:  # noqa: ANN401
    """Replace what JSON cannot hold, NaN and infinities, by null."""
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the truths")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|FILE", help="as for `sr3 upscale`")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="refinement steps (the model's)")
    parser.add_argument("--sampler", nargs="+", metavar="S", help="samplers (the model's)")
    parser.add_argument("--grid", nargs="+", metavar="G", help="families of levels (the model's)")
    parser.add_argument("--eta", type=float, metavar="E", help="noise of ddim and dpmpp-2m (the model's)")
    parser.add_argument("--seed", type=int, default=0, help="as for `sr3 upscale` (0)")
    parser.add_argument("--limit", type=int, metavar="K", help="only the first K pictures by name")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (its own choice)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON with settings and all figures")
    parser.add_argument("--save", type=Path, metavar="DIR", help="PNGs: bicubic, result and truth side by side")
    options = parser.parse_args(arguments)
    for name in ("limit", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ConfigError(f"--{name} {value}: give at least 1")
    if options.out is not None and not options.out.parent.is_dir():
        raise ConfigError(f"--out {options.out}: its folder does not exist; make it first")
    return options


def benchmark(options: argparse.Namespace) -> None:
    """Measure, print and keep what the options ask for."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    paths = list_pictures(options.folder)[: options.limit]
    upscaler = open_upscaler(options.model, device=options.device, dtype=options.dtype)
    if upscaler.info.image_channels != 3:
        raise ConfigError(f"--model {options.model}: has {upscaler.info.image_channels} channels; only RGB is measured")
    methods = [interpolation(name, upscaler.scale) for name in ("bicubic", "lanczos")]
    methods += [sampled(upscaler, sampling, options.seed) for sampling in samplings(upscaler, options)]
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
    figures = run_all((read_pair(path, upscaler.scale) for path in paths), methods, options.save)
    means, about = summarise(figures), environment(upscaler, options)
    print(f"{about['model']['name']}, {len(paths)} pictures, {about['device']} {about['dtype']}, ", end="")
    print(f"{about['threads']} threads, torch {about['torch']}\n\n{table(means)}")
    if options.out is not None:
        kept = {method.name: {"settings": method.settings, "means": means[method.name]} for method in methods}
        result = {"folder": str(options.folder), **about, "methods": kept, "pictures": figures}
        with whole_file(options.out) as temporary:
            temporary.write_text(json.dumps(without_nan(result), indent=2, allow_nan=False) + "\n", encoding="utf-8")


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
