"""Peak memory and time of a scene in windows: a synthetic GeoTIFF of a given size, and a model of random weights.

    python benchmarks/scene.py --width 20000 --height 512
    python benchmarks/scene.py --width 20000 --height 20000 --preset fsrcnn-x4-small

The second result has 6.4 gigapixels: leave 26 GB of disk in --folder.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

from sr3.build import build_denoiser
from sr3.checkpoint import ModelInfo, write_model
from sr3.config import Config, apply_settings
from sr3.presets import preset
from sr3.sampling.plan import as_plan, sampling_for
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.drawing import Request
from sr3.upscaling.jobs import Failed, upscale_files
from sr3.upscaling.naming import Job, Outputs

ROWS = 256


def write_scene(path: Path, width: int, height: int) -> None:
    """Write waves with noise, 16 bits, in strips."""
    generator = np.random.default_rng(0)
    place = rasterio.Affine(10, 0, 300_000, 0, -10, 5_000_000)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": height, "width": width, "tiled": True}
    with rasterio.open(path, "w", crs="EPSG:32632", transform=place, compress="deflate", **profile) as file:
        for top in range(0, height, ROWS):
            rows = np.arange(top, min(top + ROWS, height))[:, None]
            waves = 5000 + 3000 * np.sin(rows / 9) * np.sin(np.arange(width) / 13)
            strip = (waves + generator.normal(0, 100, waves.shape)).astype(np.uint16)
            file.write(strip, 1, window=Window(0, top, width, len(rows)))


def write_random_model(path: Path, config: Config) -> None:
    """Write a model of one band with random weights."""
    denoiser = build_denoiser(config, image_channels=1)
    info = ModelInfo(name="random", image_channels=1, step=1, config=config)
    write_model(path, info, denoiser.network.state_dict(), dtype=torch.float32)


def peak() -> float:
    """Give the most memory that this process has held, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def main() -> None:
    """Measure one size; each size needs a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=2000, help="of the input, in pixels")
    parser.add_argument("--height", type=int, default=2000, help="of the input, in pixels")
    parser.add_argument("--tile", type=int, default=1024, help="largest window in pixels of the result")
    parser.add_argument("--preset", help="of the model; by default tiny-x4 of width 8, in one call")
    parser.add_argument("--folder", type=Path, help="where the files are while it runs")
    options = parser.parse_args()
    config = preset(options.preset) if options.preset else apply_settings(preset("tiny-x4"), ["network.width=8"])
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_scene(folder / "in.tif", options.width, options.height)
        write_random_model(folder / "random.safetensors", config)
        upscaler = open_upscaler(str(folder / "random.safetensors"), device="cpu", dtype="float32")
        plan = as_plan(sampling_for(upscaler.info, steps=1))
        request = Request(plan, outputs=Outputs(scene=True), tile=options.tile, values=(0.0, 10000.0))
        before, began = peak(), time.monotonic()
        for event in upscale_files(upscaler, [Job(folder / "in.tif", folder / "out.tif")], request):
            if isinstance(event, Failed):
                sys.exit(event.reason)
        seconds = time.monotonic() - began
        print(f"{options.width} x {options.height}: {peak():.0f} MiB at most, {before:.0f} before; {seconds:.0f} s")


if __name__ == "__main__":
    main()
