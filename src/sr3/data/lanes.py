"""The endless order of a stream: shards are shuffled and dealt to lanes, each with its own shuffle buffer.

A lane reads its shards one after the other and fills a block with images, which is shuffled and used up while the next
one fills. The order of every lane follows from the seed alone, whoever reads it: lanes are dealt to processes, so they
see disjoint shards, and any number of processes sees the same batches. A lane is where it is by a cursor, so that a
resumed run continues in the middle of an epoch.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future
from typing import NamedTuple

import torch

from sr3.data.sources import Encoded
from sr3.data.streams import Broken, Stream
from sr3.diffusion.noise import mix_seed
from sr3.errors import DataError

__all__ = ["Cursor", "Lane", "count_lanes"]

_SHARD_STREAM, _BLOCK_STREAM = 6, 7


class Cursor(NamedTuple):
    """Where a block begins, and how many of its images are used: epoch, shard of the lane, image of the shard."""

    epoch: int = 0
    place: int = 0
    skip: int = 0
    block: int = 0
    used: int = 0


def count_lanes(shards: int, batch: int) -> int:
    """Choose as many lanes as there are shards for, so that all have an equal part of the batch."""
    return max(count for count in range(1, min(shards, batch) + 1) if batch % count == 0)


class Lane:
    """A part of a stream that is read in order.

    block: images that are shuffled together. held: for each shard how many images at its beginning are left out, being
    held out of training. cursor: where the next image is.
    """

    def __init__(
        self, stream: Stream, number: int, count: int, *, seed: int, block: int, held: Sequence[int], cursor: Cursor
    ) -> None:
        """Go to a cursor; nothing is read yet."""
        self._stream, self._number, self._count = stream, number, count
        self._seed, self._size, self._held = seed, block, held
        self.cursor = self._coming = cursor
        self._left: list[Encoded | Broken] = []
        self._ahead: Future[tuple[list[Encoded | Broken], Cursor]] | None = None
        self._reader: Generator[tuple[Encoded | Broken, Cursor]] | None = None

    def take(self, pool: Executor) -> Encoded | Broken:
        """Return the next image; the block after this one is read ahead by the pool."""
        while not self._left:
            self._begin_block(pool)
        self.cursor = self.cursor._replace(used=self.cursor.used + 1)
        return self._left.pop()

    def close(self) -> None:
        """Close the shard that is open; nothing may be read ahead any more."""
        if self._reader is not None:
            self._reader.close()

    def _begin_block(self, pool: Executor) -> None:
        begin = self._coming
        images, self._coming = (self._ahead or pool.submit(self._read_block, begin)).result()
        self._ahead = pool.submit(self._read_block, self._coming)
        draws = torch.Generator().manual_seed(mix_seed(self._seed, _BLOCK_STREAM, self._number, begin.block))
        order = torch.randperm(len(images), generator=draws).tolist()[begin.used :]
        self._left = [images[index] for index in reversed(order)]
        self.cursor = begin

    def _read_block(self, begin: Cursor) -> tuple[list[Encoded | Broken], Cursor]:
        """Read the images of a block and tell where the next one begins."""
        if self._reader is None:
            self._reader = self._read_on(begin)
        images: list[Encoded | Broken] = []
        after = begin
        while len(images) < self._size:
            image, after = next(self._reader)
            images.append(image)
        return images, after._replace(block=begin.block + 1, used=0)

    def _read_on(self, at: Cursor) -> Generator[tuple[Encoded | Broken, Cursor]]:
        """Read the shards of this lane for ever, each image with the place after it; DataError when they hold none."""
        epoch, place, skip = at.epoch, at.place, at.skip
        empty: set[int] = set()
        while True:
            shards = self._shards(epoch)
            for number in range(place, len(shards)):
                shard, begin = shards[number], max(skip, self._held[shards[number]])
                skip = begin
                for image in () if shard in empty else self._stream.read(shard, begin):
                    skip += 1
                    yield image, Cursor(epoch, number, skip)
                if skip == self._held[shard]:
                    empty.add(shard)
                skip = 0
            epoch, place = epoch + 1, 0
            if len(empty) == len(self._stream.shards):
                raise DataError(f"{self._stream.shards[0]}: the shards hold no images to learn from; check them")

    def _shards(self, epoch: int) -> list[int]:
        """List the shards of this lane in an epoch; all lanes together have every shard once."""
        draws = torch.Generator().manual_seed(mix_seed(self._seed, _SHARD_STREAM, epoch))
        return torch.randperm(len(self._stream.shards), generator=draws).tolist()[self._number :: self._count]
