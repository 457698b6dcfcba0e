"""Upscale images by PULSE, a search in the latent space of a generator, for `sr3 evaluate --pred OUT`.

    python benchmarks/pulse.py SMALL/ --generator runs/faces-64 -o pulse/
    sr3 evaluate --pred pulse/ --truth truths/ --input SMALL/

The generator is a model of `sr3 train faces-64-small` or another preset for generation. Inputs are square, and the side
of the generated images is a multiple of theirs. Models that upscale may follow it, as for `sr3 generate`: the search is
among the generator's images, and what it finds is enlarged. This is a search among the last stage's images as far as
each stage, reduced, gives its input (`sampling.correct`); the printed error is that of the result. The best of several
initial noise tensors is kept. Existing results are not replaced.
"""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, Sr3Error
from sr3.images.files import list_pictures, read_picture, write_picture
from sr3.images.resize import resize
from sr3.sampling.cascade import Cascade, open_cascade
from sr3.sampling.latent import Found, Search, search


def enlarge(cascade: Cascade, path: Path, target: Path, options: argparse.Namespace) -> float:
    """Search from several initial noise tensors, write the best result; return the squared error of its reduction."""
    picture = read_picture(path)
    if picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise ConfigError(f"{path}: is partly transparent; flatten it")
    plan = Search(options.steps, options.rate, options.calls)
    best, found_image, seed_of_best = float("inf"), None, 0
    for start in range(options.starts):
        seed = mix_seed(options.seed, start)
        steps = search(cascade.generator, picture.pixels[None], plan, seed=seed)
        losses: list[float] = []
        last: deque[Found] = deque(maxlen=1)
        for found in steps:
            losses.append(float(found.losses))
            last.append(found)
        if min(losses) < best:
            best, found_image, seed_of_best = min(losses), last[0].image, seed
    if found_image is None:
        raise ConfigError(f"{path}: the search diverged from every start; give a lower --rate")
    image = cascade.enlarge(found_image, seeds=[seed_of_best]).cpu()
    write_picture(target, replace(picture, pixels=image[0], alpha=None))
    height, width = picture.pixels.shape[-2:]
    return float((resize(image, height, width)[0] - picture.pixels).square().mean())


def run(options: argparse.Namespace) -> None:
    """Upscale every image of the folder."""
    for name in ("steps", "calls", "starts"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} {getattr(options, name)}: give at least 1")
    cascade = open_cascade(options.generator.split(","), device=options.device, dtype="float32")
    paths = list_pictures(options.inputs)
    options.output.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths, start=1):
        target = options.output / f"{path.stem}.png"
        if target.exists():
            continue
        loss = enlarge(cascade, path, target, options)
        print(f"{number} of {len(paths)}: {target}, mean squared error to the input {loss:.3g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path, metavar="DIR", help="low-resolution images")
    parser.add_argument(
        "--generator", required=True, metavar="MODEL[,MODEL...]", help="a generator, then what enlarges its images"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument("--steps", type=int, default=100, help="gradient steps per start")
    parser.add_argument("--rate", type=float, default=0.1, help="learning rate of Adam")
    parser.add_argument("--calls", type=int, default=5, help="network calls per image")
    parser.add_argument("--starts", type=int, default=1, help="number of initial noise tensors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    try:
        run(parser.parse_args(arguments))
    except (Sr3Error, OSError) as error:
        print(f"pulse.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
