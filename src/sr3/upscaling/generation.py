"""Generated images written to files in batches, with one seed per image whatever the batch size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sr3.atomic import whole_file
from sr3.diffusion.noise import mix_seed
from sr3.errors import ImageError
from sr3.images.files import to_pillow
from sr3.sampling.cascade import Cascade
from sr3.types import Image

__all__ = ["Made", "Order", "Refining", "Skipped", "generate_files"]


@dataclass(frozen=True)
class Order:
    """How many images, of what, and where to; label None takes the classes in turn."""

    folder: Path
    count: int
    seed: int = 0
    batch: int = 8
    label: int | None = None
    overwrite: bool = False

    def path(self, number: int) -> Path:
        """Name an image by its number."""
        return self.folder / f"{number:05d}.png"


@dataclass(frozen=True)
class Refining:
    """A step of a batch has been taken; done is in images."""

    text: str
    done: float


@dataclass(frozen=True)
class Made:
    """An image has been written."""

    path: Path
    side: int


@dataclass(frozen=True)
class Skipped:
    """An image of this name was there and is kept."""

    path: Path


def generate_files(cascade: Cascade, order: Order) -> Iterator[Refining | Made | Skipped]:
    """Create the images that are not there yet; ImageError when the folder cannot be written."""
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"{order.folder}: cannot be created as a folder ({error.strerror}); choose another path"
        ) from error
    if not order.overwrite:
        yield from (Skipped(path) for number in range(order.count) if (path := order.path(number)).exists())
    pending = [number for number in range(order.count) if order.overwrite or not order.path(number).exists()]
    for start in range(0, len(pending), order.batch):
        numbers = pending[start : start + order.batch]
        seeds = [mix_seed(order.seed, number) for number in numbers]
        image: Image | None = None
        done = order.count - len(pending) + start
        for drawn in cascade.samples([_label(cascade, order, number) for number in numbers], seeds=seeds):
            image = drawn.image
            side = cascade.sides[drawn.stage]
            yield Refining(f"{side}x{side}", done + len(numbers) * drawn.done / drawn.total)
        assert image is not None
        for number, picture in zip(numbers, image.cpu(), strict=True):
            with whole_file(order.path(number)) as temporary:
                to_pillow(picture).save(temporary, "PNG")
            yield Made(order.path(number), cascade.sides[-1])


def _label(cascade: Cascade, order: Order, number: int) -> int:
    classes = cascade.generator.classes
    if order.label is not None:
        return order.label
    return number % classes if classes else 0
