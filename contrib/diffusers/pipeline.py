"""A pipeline for diffusers that enlarges images by a model of sr3.

    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        "FOLDER", custom_pipeline="contrib/diffusers/pipeline.py", trust_remote_code=True
    )
    large = pipe(image, generator=torch.Generator().manual_seed(0)).images[0]

FOLDER holds a `model_index.json` that names class and model, as README.md beside this file shows.
Without a scheduler it walks by the model's own sampler and levels, and gives what `sr3 upscale --seed` gives. With a
scheduler of diffusers it walks by that, along its levels.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

import sr3
from sr3.diffusion.denoiser import Denoise
from sr3.diffusion.noise import NoiseSource, mix_seed
from sr3.diffusion.samplers import Step
from sr3.errors import ConfigError
from sr3.zoo import REFINING_MODEL

AnyImage: TypeAlias = Image.Image | np.ndarray | Tensor
"""A Pillow image, or an array (h, w, c) or tensor (c, h, w) in [0, 1]."""

Callback: TypeAlias = Callable[["SR3UpscalePipeline", int, float, dict[str, Tensor]], object]


@dataclass
class UpscaledOutput(BaseOutput):
    """Large images: Pillow images, or one array (b, h, w, c) or tensor (b, c, h, w) in [0, 1]."""

    images: list[Image.Image] | np.ndarray | Tensor


class SR3UpscalePipeline(DiffusionPipeline):
    """Draws large images that fit a small one.

    scheduler: of diffusers, None for the model's own sampler and levels; it may be set later, too:
    `pipe.scheduler = UniPCMultistepScheduler(...)`. model: of sr3, by name, path, or hf:owner/name[@revision]; what
    `save_pretrained` writes is this name, and the scheduler.
    """

    _optional_components = ("scheduler",)

    def __init__(self, scheduler: SchedulerMixin | None = None, model: str = REFINING_MODEL) -> None:
        """Load the model; CheckpointError when there is none."""
        super().__init__()
        self.register_modules(scheduler=scheduler)
        self.register_to_config(model=model)
        self._model = sr3.load(model, device="cpu")

    def to(self, *args: str | torch.device | torch.dtype, **kwargs: str | torch.device) -> "SR3UpscalePipeline":
        """Move the model to a device: cpu, cuda or mps. In what type it computes there is decided by sr3."""
        devices = [kwargs[name] for name in ("device", "torch_device") if name in kwargs]
        devices += [one for one in args if not isinstance(one, torch.dtype)]
        if devices:
            self._model = sr3.load(self.config.model, device=torch.device(devices[0]).type)
        return self

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._model.upscaler.device

    def __call__(
        self,
        image: AnyImage | list[AnyImage],
        *,
        num_inference_steps: int | None = None,
        eta: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
    ) -> UpscaledOutput | tuple[list[Image.Image] | np.ndarray | Tensor]:
        """Draw large images of one image, or of each of a list.

        num_inference_steps, eta: None for the model's own. num_images_per_prompt: samples of each image. generator:
        only its seed is taken, None for 0; sample k is that of `sr3 upscale --samples`. output_type: pil, np or pt.
        callback_on_step_end: called after each step as (pipeline, step, share of the steps, {"image": estimate}), the
        estimate (c, h, w) in [-1, 1]. Raises an error of sr3 for images or settings that do not fit.
        """
        if output_type not in ("pil", "np", "pt"):
            raise ConfigError(f"output_type = {output_type!r}: pil, np or pt")
        seed = 0 if generator is None else generator.initial_seed()
        if self.scheduler is not None and eta is not None:
            raise ConfigError("eta: leave it out, it is of the model's own sampler, and the pipeline has a scheduler")

        def walk(sample: int) -> dict[str, object]:
            if self.scheduler is None:
                return {"steps": num_inference_steps, "eta": eta}
            return _walk_of(self.scheduler, num_inference_steps or self._model_steps, mix_seed(seed, sample))

        drawn = [
            self._draw(_as_tensor(one), callback_on_step_end, sample=k, seed=seed, **walk(k))
            for one in (image if isinstance(image, list) else [image])
            for k in range(num_images_per_prompt)
        ]
        result = _as_type(drawn, output_type)
        return UpscaledOutput(images=result) if return_dict else (result,)

    @property
    def _model_steps(self) -> int:
        return self._model.upscaler.info.config.sampling.steps

    def _draw(self, image: Tensor, callback: Callback | None, **settings: object) -> Tensor:
        """Draw one sample (c, h, w) in [0, 1]."""
        final = image
        with self.progress_bar(total=settings.get("steps") or self._model_steps) as bar:
            for done in self._model.refine(image, **settings):
                final = done.image
                bar.total = done.steps
                bar.update()
                if callback is not None:
                    callback(self, done.step - 1, done.step / done.steps, {"image": final})
        return (final.cpu().clamp(-1, 1) + 1) / 2


def _as_tensor(image: AnyImage) -> Tensor:
    """Lay an image out as (c, h, w) in [-1, 1]."""
    if isinstance(image, Image.Image):
        image = np.array(image.convert("RGB"), dtype=np.float32) / 255
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(image).movedim(-1, 0)
    return image.float() * 2 - 1


def _as_type(images: list[Tensor], output_type: str) -> list[Image.Image] | np.ndarray | Tensor:
    if output_type == "pt":
        return torch.stack(images)
    arrays = [one.movedim(0, -1).numpy() for one in images]
    if output_type == "np":
        return np.stack(arrays)
    return [Image.fromarray((one * 255).round().astype(np.uint8)) for one in arrays]


def _walk_of(scheduler: SchedulerMixin, steps: int, seed: int) -> dict[str, object]:
    """Return the sampler and the levels of a scheduler, whose states must be sqrt(gamma) y0 + sqrt(1 - gamma) eps."""
    if float(scheduler.init_noise_sigma) != 1 or "prediction_type" not in scheduler.config:
        raise ConfigError(
            f"{type(scheduler).__name__}: its states are not sqrt(gamma) y0 + sqrt(1 - gamma) eps, as SR3's are; take "
            "DDIMScheduler, DPMSolverMultistepScheduler or UniPCMultistepScheduler"
        )
    walker = type(scheduler).from_config(scheduler.config, prediction_type="sample")
    walker.set_timesteps(steps)
    if hasattr(walker, "sigmas"):
        gammas = 1 / (1 + walker.sigmas[: len(walker.timesteps)].double() ** 2)
    else:
        gammas = walker.alphas_cumprod[walker.timesteps].double()
    takes_generator = "generator" in inspect.signature(walker.step).parameters

    def walk(denoise: Denoise, y: Tensor, grid: Tensor, _noise: NoiseSource) -> Iterator[Step]:
        walker.set_timesteps(steps)  # forgets the steps of the image before
        own = {"generator": torch.Generator().manual_seed(seed)} if takes_generator else {}
        for t, gamma in zip(walker.timesteps, grid):
            y0 = denoise(y, gamma.expand(len(y))).y0
            y = walker.step(y0, t, y, **own).prev_sample
            yield Step(y, y0)

    return {"sampler": walk, "grid": [*gammas.tolist(), 1.0]}
