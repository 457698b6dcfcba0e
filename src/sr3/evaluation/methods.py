"""Methods to evaluate: results in a folder, models, and interpolation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch

from sr3.build import build_grid
from sr3.config import SamplingConfig
from sr3.data.sources import Source
from sr3.diffusion.noise import mix_seed
from sr3.errors import ConfigError, ImageError
from sr3.evaluation.cases import CLASSIFICATION_SCALE, Case, Cases, read_image
from sr3.evaluation.matching import match_samples, names_of
from sr3.images.files import Picture
from sr3.images.picture import rounded
from sr3.images.resize import Filter, resize
from sr3.sampling.upscaler import Upscaler
from sr3.types import Image, LowRes
from sr3.upscaling.channels import to_condition, to_picture
from sr3.upscaling.jpeg_quality import strength_for

__all__ = ["FilterMethod", "FolderMethod", "Method", "ModelMethod", "fitted", "input_of", "open_folder"]


class Method(Protocol):
    """A method that produces results for an input."""

    @property
    def name(self) -> str:
        """Name in the report."""
        ...

    def settings(self) -> dict[str, Any]:
        """Describe everything that its results depend on, for the report."""
        ...

    def samples(self, case: Case) -> Image:
        """Produce k results (k, c, h, w) in [-1, 1], rounded to the levels of a file."""
        ...

    def first(self, case: Case) -> Image:
        """Produce only the first result, (1, c, h, w)."""
        ...


@dataclass(frozen=True)
class FolderMethod:
    """Existing results in a folder or in shards."""

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
            raise ImageError(f"{self.where}: the samples of {case.name} differ in size or mode; make them again")
        return torch.stack(read)

    def first(self, case: Case) -> Image:
        """Read one result."""
        return read_image(self.source, self.places[case.name][0])[0][None]


@dataclass(frozen=True)
class ModelMethod:
    """A model of sr3, sampled as by `sr3 upscale`, with the same noise for the same seed.

    digest: SHA-256 of the weights in its file.
    """

    name: str
    upscaler: Upscaler
    digest: str
    sampling: SamplingConfig
    seed: int
    count: int

    def settings(self) -> dict[str, Any]:
        """Describe the model, its weights, its device, and its sampling with the actual noise levels."""
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
            **({"restoration": "auto"} if upscaler.cleans else {}),
            **self.sampling.model_dump(mode="json", exclude={"searched"}),
            **self._levels(),
        }

    def _levels(self) -> dict[str, Any]:
        """List the noise levels of the sampler and whether they come from a search; none for a regression."""
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
        upscaler = replace(self.upscaler, stated=strength_for(case.quality))
        image = upscaler.upscale(low_res, sampling=self.sampling, seeds=seeds)
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
    """Match results to truths by name; DataError lists names without a match."""
    places = match_samples(cases.names, names_of(source, where), where, samples, known=cases.places)
    return FolderMethod(name, where, source, places)


def fitted(samples: Image, case: Case, *, classification: bool) -> Image:
    """Crop results to the size of their truth as the truth was cropped, or downscale them for classification.

    ImageError when the size still differs.
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
            f"{case.name}: the result is {found[1]}x{found[0]}, its truth {width}x{height}; give results of the same "
            "size as their truths"
        )
    return samples


def input_of(case: Case) -> LowRes:
    """Return the input of a truth; ConfigError when there is none."""
    if case.low_res is None:
        raise ConfigError(f"{case.name}: has no input to enlarge; give --input or --scale")
    return case.low_res
