"""All outputs for one image: its samples and, on request, mean, deviation and process."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sr3.diffusion.noise import mix_seed
from sr3.diffusion.samplers import numbered
from sr3.images.colours import map_picture
from sr3.images.files import Picture, to_pillow
from sr3.images.inks import to_light
from sr3.images.strip import MOST_FRAMES, SIDE, Frame, animation, spread, strip
from sr3.sampling.plan import SamplingPlan
from sr3.sampling.upscaler import Preview, Upscaler
from sr3.types import Image
from sr3.upscaling.channels import to_condition, to_picture
from sr3.upscaling.enlarging import previews_of
from sr3.upscaling.ensemble import Ensemble
from sr3.upscaling.jpeg_quality import Strength
from sr3.upscaling.memory import samples_at_once
from sr3.upscaling.naming import ONE_SAMPLE, Job, Outputs
from sr3.upscaling.result_preview import ResultPreview
from sr3.upscaling.results import copy_result, write_bytes, write_drawing, write_result
from sr3.upscaling.sizing import OWN_SIZE, Enlargement, Sizing, steps_of
from sr3.upscaling.value_range import ValueRange, stretched

__all__ = ["Request", "Taken", "Written", "draw"]


@dataclass(frozen=True)
class Request:
    """How to sample every image, and what to write.

    tile: largest side of a window. at_once: samples drawn together, of which on a GPU the last bits of each depend;
    auto for as many as its memory holds. quality: 1 to 100, of lossy formats. max_seconds: the longest that an image
    may be expected to take. values: the range of numbers that an image uses, see `value_range`; None for all there
    are. sizing: how large results are to be. restoration: how strongly a model that cleans its input does so.
    """

    sampling: SamplingPlan
    seed: int = 0
    outputs: Outputs = ONE_SAMPLE
    overwrite: bool = False
    quality: int = 95
    tile: int | Literal["auto"] = "auto"
    at_once: int | Literal["auto"] = 1
    max_seconds: float = float("inf")
    values: str | tuple[float, float] | None = None
    sizing: Sizing = OWN_SIZE
    restoration: Strength = "auto"

    def described(self) -> dict[str, Any]:
        """Return what decides the results, beside model, seed and input, in the types of JSON."""
        plan = self.sampling
        sampling = plan.settings.model_dump(mode="json", exclude={"searched"})
        sampling |= {"sampler": plan.sampler.name, "steps": plan.steps, "levels": plan.grid.tolist()}
        return {
            "sampling": sampling,
            "outputs": asdict(self.outputs),
            "size": {name: value for name, value in asdict(self.sizing).items() if value is not None},
            "range": self.values,
            "quality": self.quality,
        } | ({} if self.restoration == "auto" else {"restoration": self.restoration})

    def wants(self, path: Path) -> bool:
        """Return whether a file is to be written."""
        return self.overwrite or not path.exists()


@dataclass(frozen=True)
class Taken:
    """Steps taken of all that an image needs.

    sample: which of the samples this step was of, from 0. preview: the estimate after it; none of a scene.
    """

    done: int
    total: int
    sample: int = 0
    preview: ResultPreview | None = None


@dataclass(frozen=True)
class Written:
    """All of an image is drawn, and these files were written.

    apart: the numbers, from 0, of the two samples that differ most, where that was asked for. strength: how strongly
    the input was cleaned, on average where bands were cleaned apart; None if the model does not clean.
    """

    paths: tuple[Path, ...]
    apart: tuple[int, int] | None = None
    strength: float | None = None


def draw(upscaler: Upscaler, job: Job, request: Request, picture: Picture) -> Iterator[Taken | Written]:
    """Draw and write; yields every step, and last the files that were written.

    A sample depends on its own number alone, unless several are drawn at once on a GPU.
    """
    picture, used = stretched(picture, request.values, job.source)
    plan = request.sizing.plan(picture.width, picture.height, upscaler.scale, job.source)
    cleaned, steps = (
        upscaler.cleaned(to_condition(picture, upscaler, job.source)),
        steps_of(request.sampling, plan.passes),
    )
    low_res, strength = cleaned.images, float(cleaned.strengths.mean()) if upscaler.cleans else None
    upscaler = replace(upscaler, restoration=0.0)
    writer = _Writer(job, request, picture, plan, used)
    numbers = writer.numbers()
    group = samples_at_once(upscaler, *plan.largest, len(numbers)) if request.at_once == "auto" else request.at_once
    for first in range(0, len(numbers), group):
        chosen = numbers[first : first + group]
        batch = low_res.repeat(len(chosen), 1, 1, 1)
        seeds = [mix_seed(request.seed, k) for k in chosen for _ in low_res]
        guess: Image | None = None
        previews = previews_of(upscaler, batch, plan, sampling=request.sampling, seeds=seeds)
        for step, preview in numbered(previews, start=0):
            if chosen[0] == 0:
                writer.watch(preview, step, len(low_res))
            guess = preview.guess if step == steps else None
            seen = ResultPreview(preview.guess[: len(low_res)], picture, plan.ratio, used)
            del preview  # it holds a whole state, and the next step needs the memory
            yield Taken(first * steps + step * len(chosen), len(numbers) * steps, chosen[0], seen)
            seen.forget()
        assert guess is not None
        for k, image in zip(chosen, guess.split(len(low_res)), strict=True):
            writer.take(k, image)
    yield Written(tuple(writer.finish()), writer.apart, strength)


class _Writer:
    """Writes each sample as it comes, and gathers what is written of all of them."""

    def __init__(
        self, job: Job, request: Request, picture: Picture, plan: Enlargement, used: ValueRange | None
    ) -> None:
        self._used = used
        self._job, self._request, self._picture, self._plan = job, request, picture, plan
        self._paths = request.outputs.samples_of(job.target)
        self._wanted = [path for path in request.outputs.all_of(job.target) if request.wants(path)]
        self._levels = request.sampling.grid.tolist()
        self._result, self._ensemble = picture, Ensemble()
        self.apart: tuple[int, int] | None = None
        self._shown = set(spread(request.sampling.steps + 1, MOST_FRAMES)) if request.outputs.process else set[int]()
        self._frames: list[Frame] = []

    def numbers(self) -> list[int]:
        """Name the samples to be drawn: those that are missing; all for a summary, and the first for its process."""
        outputs = self._request.outputs
        if any(path in self._wanted for path in outputs.summaries_of(self._job.target)):
            return list(range(outputs.samples))
        first = {0} if any(path in self._wanted for path in outputs.processes_of(self._job.target)) else set[int]()
        return sorted(first | {k for k, path in enumerate(self._paths) if path in self._wanted})

    def watch(self, preview: Preview, step: int, images: int) -> None:
        """Keep a frame of the first sample, which is so many images: the middle of its state, at the end the result.

        Of several passes it is the first that is shown.
        """
        if step in self._shown:
            is_last = step == self._request.sampling.steps
            image = preview.guess if is_last and self._plan.is_plain else preview.state()
            self._frames.append(self._frame(image[:images], self._levels[step]))

    def _frame(self, image: Image, level: float) -> Frame:
        top, left = (max(0, (side - SIDE) // 2) for side in image.shape[-2:])
        middle = image[..., top : top + SIDE, left : left + SIDE].cpu()
        seen = to_picture(middle, replace(self._picture, alpha=None), self._plan.ratio)
        light = to_light(seen) if seen.space == "cmyk" else seen
        pixels = light.pixels if len(light.pixels) in (1, 3) else light.pixels[:1]
        return Frame(to_pillow(pixels), f"{1 - level:.0%} noise" if level < 1 else "result")

    def take(self, k: int, image: Image) -> None:
        """Write sample number k, if it is wanted."""
        self._result = to_picture(image, self._picture, self._plan.ratio)
        if self._used is not None:
            self._result = replace(self._result, pixels=self._used.put_back(self._result.pixels))
        if self._request.outputs.uncertainty:
            self._ensemble.add(self._result.pixels)
        if self._paths[k] in self._wanted:
            write_result(self._paths[k], self._result, quality=self._request.quality)

    def finish(self) -> list[Path]:
        """Write what is asked for beside the samples, and name all that was written."""
        target, outputs = self._job.target, self._request.outputs
        for path in outputs.processes_of(target):
            if path in self._wanted and path.suffix == ".png":
                write_drawing(path, strip(self._frames))
            elif path in self._wanted:
                write_bytes(path, animation(self._frames))
        if any(path in self._wanted for path in outputs.summaries_of(target)):
            self._summarise(*outputs.summaries_of(target))
        return self._wanted

    def _summarise(self, mean: Path, deviation: Path, *apart: Path) -> None:
        if mean in self._wanted:
            write_result(mean, replace(self._result, pixels=self._ensemble.mean()), quality=self._request.quality)
        if deviation in self._wanted:
            title = f"Standard deviation of {len(self._ensemble)} samples"
            unit = "levels of 255; what all samples share may be wrong too"
            write_drawing(deviation, map_picture(self._ensemble.deviation(), title=title, unit=unit))
        self.apart = self._ensemble.most_different()
        for path, k in zip(apart, self.apart, strict=True):
            if path in self._wanted:
                copy_result(self._paths[k], path)
