"""Random access to the training pairs of a source; unusable images are skipped and named."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from sr3.data.decoding import decode_pixels, image_header
from sr3.data.pairs import Pair, PairMaker, PairRecipe, Prepared, misfit
from sr3.data.sources import Encoded, Source, encoded, narrowed
from sr3.data.supply import Place
from sr3.data.unusable import UnusableImages
from sr3.diffusion.noise import mix_seed
from sr3.errors import DataError, UnusableError

__all__ = ["PairDataset", "image_at", "images_at", "leave_out"]

_Made = TypeVar("_Made")


class PairDataset:
    """Pairs of a source, decoded once and kept while they fit the cache.

    image_channels: taken from the first image; every image must agree. unusable: counts images that cannot be used; the
    next one takes the place of each.
    """

    def __init__(self, source: Source, recipe: PairRecipe, unusable: UnusableImages | None = None) -> None:
        """Inspect the first image that can be used to learn the channels."""
        self._source, self.recipe = source, recipe
        self._unusable = UnusableImages() if unusable is None else unusable
        self._cache: dict[int, Prepared] = {}
        self._room = int(recipe.data.cache_gib * 2**30)
        self._lock = threading.Lock()
        self._maker = PairMaker(recipe, self._first_channels())
        self.image_channels = self._maker.image_channels
        if recipe.data.degradation in ("jpeg", "photo") and self.image_channels not in (1, 3):
            raise DataError(
                f"{source.name(0)}: has {self.image_channels} channels, but JPEG holds 1 or 3; "
                "choose another data.degradation"
            )

    def _first_channels(self) -> int:
        def channels(index: int) -> int:
            return len(decode_pixels(self._source.read(index), self._source.name(index)).values)

        return self._first_usable(0, channels)

    def __len__(self) -> int:
        """Count the images."""
        return len(self._source)

    @property
    def described(self) -> str:
        """Return how many images there are."""
        return f"{len(self)} images"

    def name(self, index: int) -> str:
        """Name an image for people."""
        return self._source.name(index)

    def prepared(self, index: int) -> Prepared:
        """Decode an image and make its low-resolution version."""
        return self._first_usable(index, self._prepared)

    def pair(self, index: int, generator: torch.Generator) -> Pair:
        """Create a pair of a random crop, turned or mirrored at random."""
        return self._maker.pair(self.prepared(index), generator)

    def take(self, places: Sequence[Place], *, batch: int, seed: int, pool: Executor) -> list[tuple[str, Pair]]:
        """Create the pairs of some places: images follow from shuffles of all, laid end to end."""

        def make(place: Place) -> tuple[str, Pair]:
            index = image_at(place.step * batch + place.number, length=len(self), seed=seed)
            return self.name(index), self.pair(index, place.generator(seed))

        return list(pool.map(make, places))

    def centre(self, index: int, side: int) -> Pair:
        """Create the pair of the middle of an image, at most side pixels, as if it were all of it."""
        return self._first_usable(index, lambda found: self._maker.centre(self._encoded(found), side, seed=found))

    def cursors(self, step: int) -> dict[str, list[int]]:  # noqa: ARG002 (of a stream)
        """Tell nothing: where a source is follows from the step."""
        return {}

    def close(self) -> None:
        """Let go of nothing: files are opened one by one."""

    def _encoded(self, index: int) -> Encoded:
        return encoded(self._source, index, with_low=self.recipe.data.degradation == "paired")

    def _prepared(self, index: int) -> Prepared:
        if index in self._cache:
            return self._cache[index]
        image = self._maker.prepare(self._encoded(index))
        with self._lock:
            if index not in self._cache and image.nbytes <= self._room:
                self._cache[index] = image
                self._room -= image.nbytes
        return image

    def _first_usable(self, index: int, make: Callable[[int], _Made]) -> _Made:
        """Make something of an image, or of the next one that can be used."""
        for other in range(index, index + len(self)):
            found = other % len(self)
            try:
                return make(found)
            except UnusableError as error:
                self._unusable.note(self._source.name(found), error)
        raise DataError(f"none of {len(self)} images can be used; look at the first: {self._source.name(0)}")


@lru_cache(maxsize=4)
def _shuffle(length: int, seed: int) -> Tensor:
    return torch.randperm(length, generator=torch.Generator().manual_seed(seed))


def image_at(position: int, *, length: int, seed: int) -> int:
    """Return which image is at a position of shuffles of all of them, laid end to end: an epoch is one shuffle."""
    return int(_shuffle(length, mix_seed(seed, position // length))[position % length])


def images_at(positions: Tensor, *, length: int, seed: int) -> Tensor:
    """Return which images are at rising positions, (b,), as `image_at` does."""
    epochs = positions // length
    return torch.cat(
        [
            _shuffle(length, mix_seed(seed, epoch))[positions[epochs == epoch] % length]
            for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
        ]
    )


def leave_out(source: Source, recipe: PairRecipe, unusable: UnusableImages, *, most: int = 20_000) -> Source:
    """Inspect the headers of the first `most` images, and leave those out that cannot be used.

    Raises DataError, with their number and five names, when there are more than its limit, or than half of all: then
    a run would learn from something else than was meant.
    """
    complaints = dict(_complaints(source, recipe, min(len(source), most)))
    if len(complaints) > unusable.limit or 2 * len(complaints) > len(source):
        shown, more = "; ".join(list(complaints.values())[:5]), "; …" if len(complaints) > 5 else ""
        remedy = "fix or remove them, or set data.max_unusable higher"
        if len(complaints) <= unusable.limit:
            remedy = "that is half of all: check that these are the images you meant"
        raise DataError(f"{len(complaints)} of {len(source)} images cannot be used: {shown}{more}; {remedy}")
    for index, complaint in complaints.items():
        unusable.note(source.name(index), UnusableError(complaint))
    return narrowed(source, [k for k in range(len(source)) if k not in complaints]) if complaints else source


def _complaints(source: Source, recipe: PairRecipe, count: int) -> Iterator[tuple[int, str]]:
    channels = 0
    for index in range(count):
        name, label = source.name(index), source.label(index) if recipe.classes else 0
        try:
            width, height, found = image_header(source.read(index), name)
            low = image_header(_low(source, index), name)[:2] if recipe.data.degradation == "paired" else None
        except Exception as error:  # as in decode_image
            yield index, f"{name} cannot be read ({' '.join(str(error).split()).partition(' <_io')[0]})"
            continue
        channels = channels or found
        complaint = misfit(width, height, recipe)
        if complaint:
            yield index, f"{name} {complaint}"
        elif low is not None and low != (width // recipe.data.scale, height // recipe.data.scale):
            yield index, f"{name} is {width}x{height}, its low-resolution version {low[0]}x{low[1]}; check data.scale"
        elif not 0 <= label < max(1, recipe.classes):
            yield index, f"{name} has no class from 0 to {recipe.classes - 1}"
        elif found != channels:
            yield index, f"{name} is {_kind(found)}, unlike the first image"


def _low(source: Source, index: int) -> bytes:
    low = source.read_low(index)
    if low is None:
        raise UnusableError("no low-resolution version; give a folder of them by --low-res, or shards with .lr.")
    return low


def _kind(channels: int) -> str:
    return {1: "grey", 3: "in colour"}.get(channels, f"of {channels} bands")
