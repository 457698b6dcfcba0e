"""Training pairs from decoded images that all reside on the training device, cropped and augmented there.

For fast accelerators and sets that fit their memory: nothing is decoded or copied while training. The pairs are those
that `PairMaker` makes of the same crops; which crops, follows from (seed, step), in another way than in `dataset.py`.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sr3.data.dataset import PairDataset, images_at
from sr3.data.loader import Batch
from sr3.data.pairs import MARGIN, PairRecipe, unit
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, DataError
from sr3.images.enlarge import enlarge

__all__ = ["Cuts", "Held", "ResidentPairs", "check_resident", "hold"]

_CUT_STREAM = 6
_TURNS = {"none": 0, "flip": 1, "dihedral": 7}


class Cuts(NamedTuple):
    """Which images, where in them, in pixels of the low-resolution image, and how turned; (b,), (b, 2), (b,)."""

    image: Tensor
    corner: Tensor
    turn: Tensor


@dataclass(frozen=True)
class Held:
    """Pictures of any sizes, one after the other in one tensor; starts (n,) and sides (n, 2), height first."""

    flat: Tensor
    starts: Tensor
    sides: Tensor
    channels: int

    def cut(self, cuts: Cuts, side: tuple[int, int]) -> Tensor:
        """Cut a window of side (h, w) out of each image, turned as `pairs.augment` does; (b, c, h, w)."""
        device, (height, width) = self.flat.device, side
        image, corner, turn = (part.to(device) for part in cuts)
        down = torch.arange(height, device=device)[:, None].expand(height, width)
        right = torch.arange(width, device=device).expand(height, width)
        flips, mirrors, swaps = ((turn & bit > 0)[:, None, None] for bit in (2, 1, 4))
        row, column = torch.where(swaps, right, down), torch.where(swaps, down, right)
        row, column = torch.where(flips, height - 1 - row, row), torch.where(mirrors, width - 1 - column, column)
        sides = self.sides[image]
        place = (corner[:, 0, None, None] + row) * sides[:, 1, None, None] + corner[:, 1, None, None] + column
        planes = self.starts[image, None] + torch.arange(self.channels, device=device) * sides.prod(1)[:, None]
        return self.flat[planes[:, :, None, None] + place[:, None]]


class ResidentPairs:
    """Pairs of a dataset, held on a device; batches are made there."""

    def __init__(self, dataset: PairDataset, device: torch.device, *, workers: int = 1) -> None:
        """Decode everything by so many threads; ConfigError for what must be made anew for every pair.

        Raises DataError when the images do not fit the device, or are smaller than a crop with its margin.
        """
        self.recipe, self._dataset = dataset.recipe, dataset
        check_resident(self.recipe)
        self.image_channels = dataset.image_channels
        with ThreadPoolExecutor(workers, thread_name_prefix="sr3-decode") as pool:
            made = list(pool.map(dataset.prepared, range(len(dataset))))
        kinds = {image.high.values.dtype for image in made}
        if len(kinds) > 1:
            raise DataError(
                "data.feed device needs one bit depth, but some images have 8 bits and some more; set data.feed to "
                "threads"
            )
        try:
            self._high = hold([image.high.values for image in made], device)
            self._low = hold([image.low for image in made], device)
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"{len(made)} images do not fit into the memory of {device.type}; set data.feed to threads"
            ) from error
        self._labels = torch.tensor([image.label for image in made])
        self._sides = self._low.sides.cpu()
        self._check_sides()

    @property
    def described(self) -> str:
        """Return how many images there are."""
        return self._dataset.described

    def cursors(self, step: int) -> dict[str, list[int]]:  # noqa: ARG002 (of a stream)
        """Tell nothing: where it is follows from the step."""
        return {}

    def draw(self, step: int, *, batch: int, seed: int) -> Cuts:
        """Draw the cuts of a whole batch: images follow from shuffles of all, laid end to end."""
        generator = torch.Generator().manual_seed(mix_seed(seed, _CUT_STREAM, step))
        places = torch.rand(batch, 2, generator=generator, dtype=torch.float64)
        turn = torch.randint(0, 8, (batch,), generator=generator) & _TURNS[self.recipe.data.augment]
        index = images_at(torch.arange(step * batch, (step + 1) * batch), length=len(self._dataset), seed=seed)
        room = self._sides[index] - self._window() + 1
        return Cuts(index, (places * room).long(), turn)

    def make(self, cuts: Cuts) -> Batch:
        """Create the pairs of some cuts."""
        scale, window = self.recipe.data.scale, self._window()
        side = (int(window[0]), int(window[1]))
        large = (side[0] * scale, side[1] * scale)
        y0 = unit(self._high.cut(cuts._replace(corner=cuts.corner * scale), large))
        labels, levels = self._labels[cuts.image], torch.ones(len(cuts.image), dtype=torch.float64)
        if not self.recipe.conditional:
            return Batch(y0, y0[:, :0], labels, levels, y0[:, :0])
        whole = torch.minimum(window + 2 * MARGIN, self._sides.amin(0))
        corner = torch.minimum((cuts.corner - MARGIN).clamp(min=0), self._sides[cuts.image] - whole)
        around = self._low.cut(Cuts(cuts.image, corner, torch.zeros_like(cuts.turn)), (int(whole[0]), int(whole[1])))
        enlarged = enlarge(unit(around), scale, self.recipe.data.enlarged)
        inside = Cuts(torch.arange(len(cuts.image)), (cuts.corner - corner) * scale, cuts.turn)
        return Batch(y0, _held(enlarged).cut(inside, large), labels, levels, unit(self._low.cut(cuts, side)))

    def batches(self, *, batch: int, parts: Sequence[range], seed: int, first_step: int) -> Generator[list[Batch]]:
        """Yield the parts of the batches from first_step on, for ever."""
        step = first_step
        while True:
            cuts = self.draw(step, batch=batch, seed=seed)
            yield [self.make(Cuts(*(drawn[part.start : part.stop] for drawn in cuts))) for part in parts]
            step += 1

    def _window(self) -> Tensor:
        """Sides of what is cut, in pixels of the low-resolution image, (2,)."""
        return (
            torch.full((2,), self.recipe.data.crop // self.recipe.data.scale)
            if self.recipe.data.crop
            else self._sides[0]
        )

    def _check_sides(self) -> None:
        alike, window = bool((self._sides == self._sides[0]).all()), self._window()
        margin = MARGIN if self.recipe.conditional else 0
        if alike or (self.recipe.data.crop and bool((self._sides.amin(0) >= window + 2 * margin).all())):
            if self.recipe.data.augment == "dihedral" and int(window[0]) != int(window[1]):
                raise DataError(
                    "data.augment dihedral rotates by 90 degrees, and these images are not square; set data.crop, or "
                    "data.augment to flip"
                )
            return
        if not self.recipe.data.crop:
            raise DataError("images of different sizes cannot share a batch; set data.crop")
        least = (int(window[0]) + 2 * margin) * self.recipe.data.scale
        raise DataError(
            f"data.feed device needs sides of {least} pixels for crops of {self.recipe.data.crop} when sizes differ; "
            "set data.feed to threads, or data.crop lower"
        )


def check_resident(recipe: PairRecipe) -> None:
    """Raise ConfigError for pairs that cannot be made of images held on a device."""
    for wrong, name in (
        (recipe.data.is_random, f"data.degradation {recipe.data.degradation}"),
        (recipe.data.blur > 0, "data.blur"),
        (recipe.data.condition_gamma < 1, "data.condition_gamma"),
    ):
        if wrong:
            raise ConfigError(
                f"data.feed device cannot apply {name}, which is drawn anew for every pair; set data.feed to threads"
            )


def hold(pictures: Sequence[Tensor], device: torch.device) -> Held:
    """Put images (c, h, w), all of the same channels, together on a device."""
    sides = torch.tensor([picture.shape[1:] for picture in pictures])
    starts = torch.tensor([0, *(picture.numel() for picture in pictures[:-1])]).cumsum(0)
    flat = torch.cat([picture.flatten() for picture in pictures])
    return Held(flat.to(device), starts.to(device), sides.to(device), pictures[0].shape[0])


def _held(images: Tensor) -> Held:
    """See a batch (b, c, h, w) as images that are held."""
    count, channels, height, width = images.shape
    starts = torch.arange(count, device=images.device) * (channels * height * width)
    sides = torch.tensor([[height, width]], device=images.device).expand(count, 2)
    return Held(images.contiguous().view(-1), starts, sides, channels)
