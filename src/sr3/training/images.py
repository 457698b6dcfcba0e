"""The images of a run: training images, held-out images and skipped images."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from sr3.build import build_recipe
from sr3.config import Config
from sr3.data.dataset import PairDataset, leave_out
from sr3.data.pairs import PairMaker
from sr3.data.resident import ResidentPairs, check_resident
from sr3.data.sources import Source, SubsetSource, fingerprint
from sr3.data.stream_pairs import PairStream, hold_out
from sr3.data.streams import Stream
from sr3.data.supply import Pairs
from sr3.data.unusable import UnusableImages
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, DataError
from sr3.ranks import read_ranks

__all__ = ["DATA_STREAM", "Images", "count_workers", "find_images"]

DATA_STREAM = 2
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Images:
    """Held-out and training images.

    learning: a dataset, or a stream, of which the first `held[k]` images of shard k are held out.
    """

    config: Config
    held_out: PairDataset
    learning: PairDataset | Stream
    unusable: UnusableImages
    fingerprint: str
    held: Sequence[int] = ()

    @property
    def seed(self) -> int:
        """Seed of the order, the crops and the flips and rotations."""
        return mix_seed(self.config.training.seed, DATA_STREAM)

    @property
    def described(self) -> str:
        """Describe the amount of training data."""
        learning = self.learning
        return learning.described if isinstance(learning, PairDataset) else f"{len(learning.shards)} shards"

    def open(self, places: range, at: Mapping[str, Sequence[int]], *, device: torch.device) -> Pairs | ResidentPairs:
        """Open the training data for a process.

        places: indices of its images in the global batch. at: position at which a stream resumes, by shard lane.
        """
        if isinstance(self.learning, PairDataset):
            if self.config.data.feed == "device":
                return ResidentPairs(self.learning, device, workers=count_workers(self.config, device))
            return self.learning
        return PairStream(
            self.learning,
            PairMaker(build_recipe(self.config), self.held_out.image_channels),
            self.unusable,
            batch=self.config.training.batch,
            places=places,
            seed=self.seed,
            block=self.config.data.shuffle,
            held=self.held,
            at=at,
        )


def find_images(supply: Source | Stream, config: Config) -> Images:
    """Split images into training and held-out images: spread evenly over a source, the first ones of a stream.

    Raises DataError when there are too few images, or when too many of them cannot be used.
    """
    count, recipe = config.training.validation_images, build_recipe(config)
    unusable, unkept = (
        UnusableImages(config.data.max_unusable),
        recipe._replace(data=config.data.model_copy(update={"cache_gib": 0.0})),
    )
    if config.data.feed == "device":
        check_resident(recipe)
    if isinstance(supply, Stream):
        if config.data.feed == "device":
            raise ConfigError(
                "data.feed device loads all images into memory, but a stream has no end; set it to threads"
            )
        held_out, held = hold_out(supply, count, unusable)
        names = hashlib.sha256("\n".join(supply.shards).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return Images(config, PairDataset(held_out, unkept, unusable), supply, unusable, names, held)
    source = leave_out(supply, recipe, unusable)
    if len(source) < 2 * count:
        raise DataError(
            f"{len(source)} images are too few to hold out {count} for validation; "
            "add images or lower training.validation_images"
        )
    taken = [round((k + 0.5) * len(source) / count) for k in range(count)]
    kept = sorted(set(range(len(source))).difference(taken))
    held_out = PairDataset(SubsetSource(source, taken), unkept, unusable)
    learning = PairDataset(SubsetSource(source, kept), unkept if config.data.feed == "device" else recipe, unusable)
    return Images(config, held_out, learning, unusable, fingerprint(supply))


def count_workers(config: Config, device: torch.device) -> int:
    """Choose the number of decoding threads; one is enough when the CPU also trains."""
    if config.data.workers:
        return config.data.workers
    neighbours = read_ranks().local_world_size
    return 1 if device.type == "cpu" else max(1, min(_MOST_WORKERS, (os.cpu_count() or 1) // neighbours))
