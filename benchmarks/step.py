"""Time a training step with common optimisations added one by one, up to that of `sr3 train`.

    python benchmarks/step.py --network unofficial --batch 1 --threads 2

Every row adds one change to the row above; bfloat16 is left out where `training.precision=auto` is float32. The
networks are `unofficial`, that of Janspiry's implementation
(https://github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement; 97.8M parameters, 128x128), as the family
`ddpm` of sr3, or a preset. Rows are timed alternately, so that a temporarily slow machine affects all of them; the
fastest repetition of each is reported.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sr3.build import build_denoiser, count_parameters
from sr3.config import Config, DataConfig, DDPMConfig
from sr3.diffusion.objective import denoising_loss
from sr3.errors import Sr3Error
from sr3.presets import preset
from sr3.runtime.device import training_dtype
from sr3.training.estimate import BACKWARD, forward_flops, peak_rate

UNOFFICIAL = Config(
    network=DDPMConfig(width=64, multipliers=(1, 2, 4, 8, 8), blocks=2, attention=(3,), features=256, dropout=0.2),
    data=DataConfig(scale=8),
)


@dataclass(frozen=True)
class Row:
    """A configuration of a training step."""

    name: str
    channels_last: bool = False
    half: bool = False
    fused: bool = False
    compiled: bool = False


ROWS = [Row("eager, float32, NCHW")]
ROWS.append(replace(ROWS[-1], name="+ channels last", channels_last=True))
HALF = replace(ROWS[-1], name="+ bfloat16 autocast", half=True)
ROWS.append(HALF)
ROWS.append(replace(ROWS[-1], name="+ fused optimiser (sr3 train)", fused=True))
ROWS.append(replace(ROWS[-1], name="+ torch.compile", compiled=True))


def stepper(row: Row, config: Config, side: int, batch: int, device: torch.device) -> Callable[[], None]:
    """Build a function that takes one step on random images."""
    torch.manual_seed(0)
    denoiser = build_denoiser(config, image_channels=3).to(device).train()
    layout = torch.channels_last if row.channels_last else torch.contiguous_format
    denoiser = denoiser.to(memory_format=layout)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-5, fused=row.fused)
    if row.compiled:
        denoiser.network = torch.compile(denoiser.network)
    y0, x, eps = (torch.randn(batch, 3, side, side, device=device).contiguous(memory_format=layout) for _ in range(3))
    gamma = torch.rand(batch, dtype=torch.float64) * 0.98 + 0.01

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=row.half):
            loss: Tensor = denoising_loss(denoiser, y0, x, eps=eps, gamma=gamma, kind="l2").mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def timed(steps: Sequence[Callable[[], None]], turns: int) -> Iterator[float]:
    """Time the functions alternately, after a warm-up call; yields the fastest time of each."""
    best = [float("inf")] * len(steps)
    for step in steps:
        step()
    for _ in range(turns):
        for number, step in enumerate(steps):
            began = time.perf_counter()
            step()
            best[number] = min(best[number], time.perf_counter() - began)
    yield from best


def run(options: argparse.Namespace) -> None:
    """Measure and print a table."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    config = UNOFFICIAL if options.network == "unofficial" else preset(options.network)
    side = options.side or config.data.crop or 128
    dtype = training_dtype(options.precision, device)
    rows = [
        replace(row, half=row.half and dtype == torch.bfloat16)
        for row in ROWS
        if (options.compile or not row.compiled) and (dtype == torch.bfloat16 or row != HALF)
    ]
    seconds = list(timed([stepper(row, config, side, options.batch, device) for row in rows], options.turns))
    flops = BACKWARD * forward_flops(config, image_channels=3, side=side) * options.batch
    peak, name = peak_rate(device, dtype), str(dtype).removeprefix("torch.")
    count = count_parameters(config.network, image_channels=3, scale=config.data.scale)
    print(f"{options.network}: {count / 1e6:.1f}M parameters, {side}x{side}, batch {options.batch}, {device}, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, peak {name} {peak:.3g} FLOP/s\n")
    print("| | s per step | images/s | relative to the first row | share of peak |\n|---|---:|---:|---:|---:|")
    for row, took in zip(rows, seconds, strict=True):
        cells = (
            f"{took:.3f}",
            f"{options.batch / took:.2f}",
            f"{seconds[0] / took:.2f}x",
            f"{flops / took / peak:.0%}",
        )
        print(f"| {row.name} | {' | '.join(cells)} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code: 0, or 2 for what the user can fix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="unofficial", help="unofficial, or a preset")
    parser.add_argument("--batch", type=int, default=1, help="images per step")
    parser.add_argument("--side", type=int, default=0, help="side in pixels (the preset's crop, or 128)")
    parser.add_argument("--turns", type=int, default=3, help="repetitions of each row")
    parser.add_argument("--threads", type=int, default=0, help="of torch (its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="as of sr3 train")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile, which takes minutes to start")
    try:
        run(parser.parse_args(arguments))
    except Sr3Error as error:
        print(f"step.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
