"""Upscale images by PULSE, a search in the latent space of a generator, for `sr3 evaluate --pred OUT`.

    python benchmarks/pulse.py SMALL/ --generator runs/faces-64 -o pulse/
    sr3 evaluate --pred pulse/ --truth truths/ --input SMALL/

The generator is a model of `sr3 train faces-64-small` or another preset for generation. Inputs are square, and the side
of the generated images is a multiple of theirs. The best of several initial noise tensors is kept. Existing results are
not replaced.
"""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sr3.checkpoint import read_model
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, Sr3Error
from sr3.images.files import list_pictures, read_picture, write_picture
from sr3.runtime.device import choose_device, choose_dtype
from sr3.sampling.generator import PictureGenerator, load_generator
from sr3.sampling.latent import Found, Search, search
from sr3.zoo import find_model


def enlarge(generator: PictureGenerator, path: Path, target: Path, options: argparse.Namespace) -> float:
    """Search from several initial noise tensors, write the best result and return its loss."""
    picture = read_picture(path)
    if picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise ConfigError(f"{path}: is partly transparent; flatten it")
    plan = Search(options.steps, options.rate, options.calls)
    best, image = float("inf"), None
    for start in range(options.starts):
        steps = search(generator, picture.pixels[None], plan, seed=mix_seed(options.seed, start))
        losses: list[float] = []
        last: deque[Found] = deque(maxlen=1)
        for found in steps:
            losses.append(float(found.losses))
            last.append(found)
        if min(losses) < best:
            best, image = min(losses), last[0].image[0]
    if image is None:
        raise ConfigError(f"{path}: the search diverged from every start; give a lower --rate")
    write_picture(target, replace(picture, pixels=image, alpha=None))
    return best


def run(options: argparse.Namespace) -> None:
    """Upscale every image of the folder."""
    for name in ("steps", "calls", "starts"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} {getattr(options, name)}: give at least 1")
    device = choose_device(options.device)
    generator = load_generator(
        read_model(find_model(options.generator)), device=device, dtype=choose_dtype("float32", device)
    )
    paths = list_pictures(options.inputs)
    options.output.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths, start=1):
        target = options.output / f"{path.stem}.png"
        if target.exists():
            continue
        loss = enlarge(generator, path, target, options)
        print(f"{number} of {len(paths)}: {target}, mean squared error to the input {loss:.3g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path, metavar="DIR", help="low-resolution images")
    parser.add_argument("--generator", required=True, metavar="MODEL", help="a generator: file or folder of a run")
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
