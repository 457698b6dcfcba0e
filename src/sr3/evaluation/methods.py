"""Methods that are compared: results in a folder, models, and plain interpolation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from sr3.build import build_grid
from sr3.config import SamplingConfig
from sr3.data.sources import Source
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, ImageError
from sr3.evaluation.cases import CLASSIFICATION_SCALE, Case, Cases, read_image, rounded
from sr3.evaluation.naming import match_samples, names_of
from sr3.images.files import Picture
from sr3.images.resize import Filter, resize
from sr3.sampling.upscaler import Upscaler
from sr3.types import Image, LowRes
from sr3.upscaling.channels import to_condition, to_picture

__all__ = ["FilterMethod", "FolderMethod", "Method", "ModelMethod", "fitted", "input_of", "open_folder"]


class Method(Protocol):
    """Whatever answers an input with pictures."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    def settings(self) -> dict[str, Any]:
        """Give all that decides its results, for the report."""
        ...

    def samples(self, case: Case) -> Image:
        """Answer an input: (k, c, h, w) in [-1, 1], at the levels of a file."""
        ...

    def first(self, case: Case) -> Image:
        """Give the first of the samples alone, (1, c, h, w)."""
        ...


@dataclass(frozen=True)
class FolderMethod:
    """Results that somebody else has made."""

    name: str
    where: str
    source: Source
    places: Mapping[str, Sequence[int]]

    def settings(self) -> dict[str, Any]:
        """Name the folder and the number of samples."""
        return {"kind": "pictures", "where": self.where, "samples": len(next(iter(self.places.values())))}

    def samples(self, case: Case) -> Image:
        """Read the results of one truth; ImageError when their sizes differ."""
        read = [read_image(self.source, place)[0] for place in self.places[case.name]]
        if len({image.shape for image in read}) > 1:
            raise ImageError(f"{self.where}: the samples of {case.name} are not of one size or kind; make them anew")
        return torch.stack(read)

    def first(self, case: Case) -> Image:
        """Read one result."""
        return read_image(self.source, self.places[case.name][0])[0][None]


@dataclass(frozen=True)
class ModelMethod:
    """A model of ours, sampled as `sr3 upscale` does, with the same noise for the same seed.

    digest: the SHA-256 of its weights as its file holds them.
    """

    name: str
    upscaler: Upscaler
    digest: str
    sampling: SamplingConfig
    seed: int
    count: int

    def settings(self) -> dict[str, Any]:
        """Describe the model, its weights, where it runs, and its sampling with the levels that are really walked."""
        upscaler = self.upscaler
        return {
            "kind": "model",
            "model": upscaler.info.name,
            "weights": self.digest,
            "trained_steps": upscaler.info.step,
            "samples": self.count,
            "seed": self.seed,
            "dtype": str(upscaler.dtype).removeprefix("torch."),
            "device": str(upscaler.device),
            "tile": upscaler.tile,
            **self.sampling.model_dump(mode="json", exclude={"searched"}),
            **self._levels(),
        }

    def _levels(self) -> dict[str, Any]:
        """Give the levels of the sampler and whether a search found them; a regression walks none."""
        if self.sampling.sampler == "regression":
            return {"levels": [], "levels_searched": False}
        return {"levels": build_grid(self.sampling).tolist(), "levels_searched": self.sampling.found is not None}

    def samples(self, case: Case) -> Image:
        """Draw samples one by one."""
        return torch.cat([self._draw(case, k) for k in range(self.count)])

    def first(self, case: Case) -> Image:
        """Draw one sample."""
        return self._draw(case, 0)

    def _draw(self, case: Case, k: int) -> Image:
        picture = Picture(input_of(case)[0])
        low_res = to_condition(picture, self.upscaler)
        seeds = [mix_seed(self.seed, k)] * len(low_res)
        image = self.upscaler.upscale(low_res, sampling=self.sampling, seeds=seeds)
        return rounded(to_picture(image, picture, (self.upscaler.scale, self.upscaler.scale)).pixels[None], case.top)


@dataclass(frozen=True)
class FilterMethod:
    """Interpolation alone."""

    name: str
    method: Filter
    scale: int

    def settings(self) -> dict[str, Any]:
        """Name the filter."""
        return {"kind": "filter", **asdict(self), "samples": 1}

    def samples(self, case: Case) -> Image:
        """Enlarge the input."""
        low_res = input_of(case)
        height, width = (side * self.scale for side in low_res.shape[-2:])
        return rounded(resize(low_res, height, width, method=self.method), case.top)

    def first(self, case: Case) -> Image:
        """Enlarge the input."""
        return self.samples(case)


def open_folder(name: str, where: str, source: Source, cases: Cases, *, samples: int) -> FolderMethod:
    """Match results to truths by name; DataError that lists what does not match."""
    places = match_samples(cases.names, names_of(source, where), where, samples, known=cases.places)
    return FolderMethod(name, where, source, places)


def fitted(samples: Image, case: Case, *, classification: bool) -> Image:
    """Bring results to the size of their truth: cut as the truth was, where they are as large as it was before, or
    shrink for classification.

    ImageError when they are of another size.
    """
    height, width = case.truth.shape[-2:]
    found = samples.shape[-2:]
    if classification and case.low_res is not None:
        made = tuple(side * CLASSIFICATION_SCALE for side in case.low_res.shape[-2:])
        if tuple(found) == made:
            samples = rounded(resize(samples, height, width), case.top)
    elif tuple(found) == case.uncut:
        samples = samples[..., :height, :width]
    if samples.shape[-2:] != (height, width):
        raise ImageError(
            f"{case.name}: the result is {found[1]}x{found[0]}, its truth {width}x{height}; give results of the size "
            "of their truths"
        )
    return samples


def input_of(case: Case) -> LowRes:
    """Give the input of a truth; ConfigError when there is none."""
    if case.low_res is None:
        raise ConfigError(f"{case.name}: has no input to enlarge; give --input or --scale")
    return case.low_res
