"""A pipeline for diffusers that enlarges images by a model of sr3.

    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained("FOLDER", custom_pipeline="pipeline.py")
    large = pipe(image, generator=torch.Generator().manual_seed(0)).images[0]

Without a scheduler it walks by the model's own sampler and levels, and gives what `sr3 upscale --seed` gives. With one of
diffusers' schedulers, it walks by that along the scheduler's levels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image

import sr3
from sr3.diffusion.samplers import Step
from sr3.errors import ConfigError

DEFAULT_MODEL = "photos-x4"


@dataclass
class UpscaledOutput(BaseOutput):
    """Large images: Pillow images, or as one array (b, h, w, c) or tensor (b, c, h, w) in [0, 1]."""

    images: list | np.ndarray | torch.Tensor


class SR3UpscalePipeline(DiffusionPipeline):
    """Draws large images that fit a small one.

    model: of sr3 by name, path, or hf:owner/name[@revision]. scheduler: of diffusers, None for the model's own sampler
    and levels; it may be set later, too: `pipe.scheduler = UniPCMultistepScheduler(...)`.
    """

    _optional_components = ("scheduler",)

    def __init__(self, scheduler=None, model: str = DEFAULT_MODEL):
        """Load the model; CheckpointError when there is none."""
        super().__init__()
        self.register_modules(scheduler=scheduler)
        self.register_to_config(model=model)
        self._model = sr3.load(model, device="cpu")

    def to(self, *args, **kwargs):
        """Move the model to a device: cpu, cuda or mps. What type it computes in there, sr3 decides."""
        device = torch.device(kwargs.get("device") or next(one for one in args if not isinstance(one, torch.dtype)))
        self._model = sr3.load(self.config.model, device=device.type)
        return self

    @property
    def device(self):
        """Where the model is."""
        return self._model.upscaler.device

    def __call__(
        self,
        image,
        *,
        num_inference_steps=None,
        eta=None,
        num_images_per_prompt=1,
        generator=None,
        output_type="pil",
        return_dict=True,
        callback_on_step_end=None,
    ):
        """Draw large images.

        image: a Pillow image, array (h, w, c) in [0, 1] or tensor (c, h, w) in [0, 1], or a list of them.
        num_inference_steps, eta: None for the model's own. num_images_per_prompt: samples of each image. generator:
        only its seed is taken; the k-th image of a seed is that of `sr3 upscale --samples`. output_type: pil, np or pt.
        callback_on_step_end: called as (pipe, step, level, {"image": estimate}) after each step, estimate (c, h, w) in
        [-1, 1]. Raises an error of sr3 for images or settings that do not fit.
        """
        if output_type not in ("pil", "np", "pt"):
            raise ConfigError(f"output_type = {output_type!r}: pil, np or pt")
        images = image if isinstance(image, list | tuple) else [image]
        seed = 0 if generator is None else generator.initial_seed()
        walk = {"steps": num_inference_steps, "eta": eta}
        if self.scheduler is not None:
            if eta is not None:
                raise ConfigError("eta: with a scheduler it is the scheduler's; leave it out, or the scheduler")
            walk = _walk_of(self.scheduler, num_inference_steps or self._own_steps, seed)
        settings = {"seed": seed, **walk}
        drawn = [
            self._draw(one, callback_on_step_end, sample=k, **settings)
            for one in images
            for k in range(num_images_per_prompt)
        ]
        result = _as_type([(one.clamp(-1, 1) + 1) / 2 for one in drawn], output_type)
        return UpscaledOutput(result) if return_dict else (result,)

    @property
    def _own_steps(self):
        return self._model.upscaler.info.config.sampling.steps

    def _draw(self, image, callback, **settings):
        """Draw one sample (c, h, w) in [-1, 1]."""
        final = None
        with self.progress_bar(total=settings.get("steps") or self._own_steps) as bar:
            for refinement in self._model.refine(_as_tensor(image), **settings):
                final = refinement.image
                bar.total = refinement.steps
                bar.update()
                if callback is not None:
                    callback(self, refinement.step - 1, refinement.step / refinement.steps, {"image": final})
        return final.cpu()


def _as_tensor(image):
    """Lay an image out as (c, h, w) in [-1, 1]."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(image).movedim(-1, 0)
    return image.float() * 2 - 1


def _as_type(images, output_type):
    if output_type == "pt":
        return torch.stack(images)
    arrays = [one.movedim(0, -1).numpy() for one in images]
    if output_type == "np":
        return np.stack(arrays)
    return [Image.fromarray((one * 255).round().astype(np.uint8).squeeze()) for one in arrays]


def _walk_of(scheduler, steps, seed):
    """Return the sampler and the levels of a scheduler whose states have the variance of the data and noise together."""
    if float(scheduler.init_noise_sigma) != 1 or "prediction_type" not in scheduler.config:
        raise ConfigError(
            f"{type(scheduler).__name__}: its states are not those of SR3, sqrt(gamma) y0 + sqrt(1 - gamma) eps; take "
            "DDIMScheduler, DPMSolverMultistepScheduler or UniPCMultistepScheduler"
        )
    scheduler = type(scheduler).from_config(scheduler.config, prediction_type="sample")
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "sigmas"):
        gammas = (1 / (1 + scheduler.sigmas.double() ** 2)).tolist()[:-1]
    else:
        gammas = scheduler.alphas_cumprod[scheduler.timesteps].double().tolist()

    def walk(denoise, y, grid, noise):
        generator = torch.Generator().manual_seed(seed)
        for t, gamma in zip(scheduler.timesteps, grid, strict=False):
            y0 = denoise(y, gamma.expand(len(y))).y0
            takes = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
            y = scheduler.step(y0, t, y, **takes).prev_sample
            yield Step(y, y0)

    return {"sampler": walk, "grid": [*gammas, 1.0]}
