"""Training of the network that measures how strongly an input needs cleaning.

Its truth follows from the factor on the change of the restoration network that brings the image nearest to the clean
one, by least squares: 0 for a clean image, near 1 for damage as that network was trained on. What is left of the damage
will be enlarged and sharpened, so more is removed than that, the more the stronger it is.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.optim.lr_scheduler import OneCycleLR

from sr3.checkpoint import ModelFile
from sr3.config import DataConfig
from sr3.data.dataset import PairDataset, image_at, leave_out
from sr3.data.pairs import PairRecipe
from sr3.data.sources import Source, narrowed
from sr3.data.unusable import UnusableImages
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.noise import mix_seed
from sr3.errors import DataError
from sr3.images.degrade import sensor_noise
from sr3.images.picture import rounded
from sr3.images.resize import downsample, resize
from sr3.networks.span import SPAN
from sr3.networks.strength import StrengthNetwork
from sr3.sampling.filling import build_filled
from sr3.sampling.mean_tiles import MOST_MEASURED, restored

__all__ = ["TrainedStrength", "train_strength"]

SIDE = 128
"""Side of an example, in pixels of what is cleaned."""
WIDTH = 32
CLEAN_SHARE = 0.35
"""Share of the examples that are clean; half of them are as soft as photographs straight from a camera."""
NOISY_SHARE, NOISE = 0.08, (1.0, 6.0)
"""Share of the examples with a sensor's noise alone, and its deviation in levels of 255."""
REDUCED_SHARE = 0.17
"""Share of the examples that are reduced after they were degraded, as images on the web often are."""
LARGEST_FACTOR = 1.6
"""The most by which a soft image is reduced and enlarged again, and a degraded one reduced."""
HELD = 10
"""One in so many images, and of the examples, is not learnt from."""
MORE = 0.6
"""Rise of the strength beyond the factor of least squares, per unit of it (docs/explanation/ablations.md)."""
PASSES, BATCH, RATE = 20, 16, 2e-3

OnProgress = Callable[[str, float], None]
"""Called with what is done and its share."""


class TrainedStrength(NamedTuple):
    """The network, and root mean square errors of the strength on examples that it did not learn from.

    error: of what it measures. constant_error: of the best constant.
    """

    network: StrengthNetwork
    error: float
    constant_error: float


class _Examples(NamedTuple):
    """Images and their changes, (n, c, SIDE, SIDE), half precision; the strength wanted, and how much it counts."""

    images: Tensor
    changes: Tensor
    wanted: Tensor
    weights: Tensor

    def part(self, index: Tensor | slice) -> "_Examples":
        return _Examples(*(values[index] for values in self))

    def error_of(self, strengths: Tensor) -> float:
        return float(((strengths - self.wanted).square() * self.weights).sum().div(self.weights.sum()).sqrt())


def train_strength(
    restoration: ModelFile, source: Source, *, count: int, reduction: int, device: torch.device, on_progress: OnProgress
) -> TrainedStrength:
    """Train on random crops of images, degraded as the restoration model was trained.

    count: number of crops. reduction: by how much the images are reduced first. Raises DataError when the images are
    too small, or too many cannot be used.
    """
    denoiser = cast(Denoiser[SPAN], build_filled(restoration, device))
    apart, others = _datasets(restoration, source, reduction)
    total, few = count, max(1, count // HELD)
    held = _examples(denoiser, apart, range(few), device, lambda k: on_progress("examples", k / total))
    learning = _examples(denoiser, others, range(few, total), device, lambda k: on_progress("examples", k / total))
    network = _fit(learning, restoration.info.image_channels, device, on_progress)
    with torch.no_grad():
        measured = [_measure(network, held.part(slice(k, k + 1)), device).clamp(0) for k in range(len(held.wanted))]
    best = (learning.wanted * learning.weights).sum() / learning.weights.sum()
    return TrainedStrength(network.cpu(), held.error_of(torch.cat(measured)), held.error_of(best))


def _datasets(restoration: ModelFile, source: Source, reduction: int) -> tuple[PairDataset, PairDataset]:
    """Open the images that are not learnt from, and the others."""
    own = restoration.info.config.data
    if own.degradation == "paired":
        raise DataError(
            f"{restoration.info.name}: was trained on pairs, whose damage cannot be drawn for other images; leave "
            "--data out"
        )
    changes = {"scale": reduction, "crop": SIDE * reduction, "cache_gib": 0.0, "augment": "dihedral"}
    recipe = PairRecipe(DataConfig.model_validate({**own.model_dump(), **changes}))
    unusable = UnusableImages(own.max_unusable)
    usable = leave_out(source, recipe, unusable)
    if len(usable) < 2:
        raise DataError(f"{usable.name(0)}: is the only image; give two or more, one to learn from and one to check by")
    apart = range(0, len(usable), HELD)
    others = sorted(set(range(len(usable))).difference(apart))
    return PairDataset(narrowed(usable, apart), recipe, unusable), PairDataset(
        narrowed(usable, others), recipe, unusable
    )


def _examples(
    denoiser: Denoiser[SPAN],
    dataset: PairDataset,
    numbers: range,
    device: torch.device,
    on_example: Callable[[int], None],
) -> _Examples:
    drawn: list[tuple[Tensor, Tensor, float, float]] = []
    for number in numbers:
        on_example(number)
        generator = torch.Generator().manual_seed(mix_seed(0, number))
        pair = dataset.pair(image_at(number, length=len(dataset), seed=0), generator)
        clean = pair.y0 if dataset.recipe.data.scale == 1 else downsample(pair.y0, dataset.recipe.data.scale)
        image, clean = _drawn(rounded(pair.low_res, 255), rounded(clean, 255), generator)
        change = restored(denoiser, image[None].to(device), strength=1.0)[0].cpu() - image
        energy = change.square().mean()
        best = ((change * (clean - image)).mean() / energy.clamp_min(1e-12)).clamp_min(0)
        wanted, level = (best * (1 + MORE * best)).clamp_max(MOST_MEASURED), 127.5 * energy.sqrt()
        drawn.append((image.half(), change.half(), float(wanted), float(level / (level + 1))))
    images, changes, wanted, weights = zip(*drawn, strict=True)
    return _Examples(torch.stack(images), torch.stack(changes), torch.tensor(wanted), torch.tensor(weights))


def _drawn(degraded: Tensor, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw what kind of example it is; returns the image, and the clean one that goes with it."""
    kind, amount = torch.rand(2, generator=generator).tolist()
    side = round(SIDE / (1 + (LARGEST_FACTOR - 1) * amount))
    if kind < CLEAN_SHARE:
        if kind < CLEAN_SHARE / 2:
            clean = rounded(resize(resize(clean, side, side, method="area"), SIDE, SIDE, method="bicubic"), 255)
        return clean, clean
    if kind < CLEAN_SHARE + NOISY_SHARE:
        deviation = NOISE[0] + (NOISE[1] - NOISE[0]) * amount
        return rounded(sensor_noise((clean + 1) * 127.5, deviation, generator) / 127.5 - 1, 255), clean
    if kind < CLEAN_SHARE + NOISY_SHARE + REDUCED_SHARE:
        return _reduced(degraded, side), _reduced(clean, side)
    return degraded, clean


def _reduced(image: Tensor, side: int) -> Tensor:
    """Reduce an image, and continue it by its mirror image to the size that it had."""
    before = (SIDE - side) // 2
    small = rounded(resize(image, side, side, method="bicubic"), 255)
    return pad(small[None], (before, SIDE - side - before) * 2, mode="reflect")[0]


def _fit(examples: _Examples, channels: int, device: torch.device, on_progress: OnProgress) -> StrengthNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StrengthNetwork(WIDTH, image_channels=channels, learning=True).to(device)
    generator = torch.Generator().manual_seed(0)
    orders = (torch.randperm(len(examples.wanted), generator=generator) for _ in range(PASSES))
    batches = [index for order in orders for index in order.split(BATCH) if len(index) > 1]
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    rates = OneCycleLR(optimizer, RATE, total_steps=len(batches) + 1)
    for number, index in enumerate(batches):
        on_progress("training", number / len(batches))
        batch = examples.part(index)
        errors = _measure(network, batch, device) - batch.wanted
        loss = (errors.square() * batch.weights).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    return network.folded()


def _measure(network: StrengthNetwork, examples: _Examples, device: torch.device) -> Tensor:
    images, changes = (part.to(device, torch.float32) for part in examples[:2])
    return network(images, changes).cpu()
