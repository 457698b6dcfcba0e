"""Training pairs of a stream, lane by lane; unusable images are skipped and named."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from sr3.data.lanes import Cursor, Lane, count_lanes
from sr3.data.pairs import Pair, PairMaker
from sr3.data.sources import Encoded, HeldSource
from sr3.data.streams import Broken, Stream
from sr3.data.supply import Place
from sr3.data.unusable import UnusableImages
from sr3.errors import DataError, UnusableError

__all__ = ["PairStream", "hold_out"]

_READERS = 16
"""Threads that read shards."""
_REMEMBERED = 16
"""Steps whose beginnings are remembered: more than batches are made ahead."""


def hold_out(stream: Stream, count: int, unusable: UnusableImages) -> tuple[HeldSource, list[int]]:
    """Take the first images of a stream, and tell how many of each shard they are.

    Raises DataError when there are fewer.
    """
    images: list[Encoded] = []
    held = [0] * len(stream.shards)
    for shard in range(len(stream.shards)):
        for image in stream.read(shard):
            if len(images) == count:
                return HeldSource(images), held
            held[shard] += 1
            if isinstance(image, Broken):
                unusable.note(image.name, UnusableError(f"{image.name}: {image.reason}"))
            else:
                images.append(image)
    raise DataError(
        f"{stream.shards[0]}: {len(images)} images are too few to hold out {count} for validation; add images or lower "
        "training.validation_images"
    )


class PairStream:
    """Pairs of a stream, in the order of its lanes; only those lanes are read that the places of this process are of.

    batch: images per step, of all processes; places: those of this one; block: shuffled together, over all lanes.
    held: for each shard how many images at its beginning are held out. at: cursors by number of the lane, where
    the stream continues.
    """

    def __init__(
        self,
        stream: Stream,
        maker: PairMaker,
        unusable: UnusableImages,
        *,
        batch: int,
        places: range,
        seed: int,
        block: int,
        held: Sequence[int],
        at: Mapping[str, Sequence[int]],
    ) -> None:
        """Deal the shards; DataError when the processes cannot share the lanes."""
        stream = stream.reopened()
        count = count_lanes(len(stream.shards), batch)
        width = batch // count
        if places.start % width or places.stop % width:
            raise DataError(
                f"{len(stream.shards)} shards fill a batch of {batch} in {count} groups, which {batch // len(places)} "
                "processes cannot share evenly: use at least as many shards as processes, and a training.batch that "
                "is a multiple of both"
            )
        self._lanes = {
            number: Lane(
                stream,
                number,
                count,
                seed=seed,
                block=max(1, block // count),
                held=held,
                cursor=Cursor(*at.get(str(number), ())),
            )
            for number in range(places.start // width, places.stop // width)
        }
        self._width, self._maker, self._unusable, self._stream = width, maker, unusable, stream
        self._remembered: list[tuple[int, dict[str, list[int]]]] = []
        self._begin = self._now()
        self._readers = ThreadPoolExecutor(min(len(self._lanes), _READERS), thread_name_prefix="sr3-shards")

    @property
    def image_channels(self) -> int:
        """Bands of every image."""
        return self._maker.image_channels

    @property
    def described(self) -> str:
        """Return how many shards there are."""
        return f"{len(self._stream.shards)} shards"

    def take(self, places: Sequence[Place], *, batch: int, seed: int, pool: Executor) -> list[tuple[str, Pair]]:  # noqa: ARG002 (the batch is known)
        """Create the pairs of some places, each from its lane; the lane's next image replaces one that is unusable."""
        images = [self._next(place) for place in places]

        def make(image: Encoded, place: Place) -> Pair | UnusableError:
            try:
                return self._maker.pair(self._maker.prepare(image), place.generator(seed))
            except UnusableError as error:
                return error

        pairs: list[tuple[str, Pair]] = []
        for place, first, made in zip(places, images, list(pool.map(make, images, places)), strict=True):
            image, pair = first, made
            while isinstance(pair, UnusableError):
                self._unusable.note(image.name, pair)
                image = self._next(place)
                pair = make(image, place)
            pairs.append((image.name, pair))
        self._remember(places[-1].step + 1)
        return pairs

    def cursors(self, step: int) -> dict[str, list[int]]:
        """Return where the lanes are when a step begins: one of the last that were made, or else the first."""
        return dict(self._remembered).get(step, self._begin)

    def close(self) -> None:
        """Stop reading and close the shards."""
        self._stream.close()
        self._readers.shutdown(wait=True, cancel_futures=True)
        for lane in self._lanes.values():
            lane.close()

    def _next(self, place: Place) -> Encoded:
        """Take the next image of a place's lane, past what is broken."""
        lane = self._lanes[place.number // self._width]
        while isinstance(image := lane.take(self._readers), Broken):
            self._unusable.note(image.name, UnusableError(f"{image.name}: {image.reason}"))
        return image

    def _now(self) -> dict[str, list[int]]:
        return {str(number): list(lane.cursor) for number, lane in self._lanes.items()}

    def _remember(self, step: int) -> None:
        kept = [(number, cursors) for number, cursors in self._remembered if number != step]
        self._remembered = [*kept[1 - _REMEMBERED :], (step, self._now())]
