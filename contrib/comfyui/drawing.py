"""Samples of ComfyUI's images by a model of sr3, with ComfyUI's progress bar, previews and stop."""

from dataclasses import replace

import comfy.model_management
import comfy.utils
import latent_preview
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sr3 import Model, Refinement
from sr3.images.colours import map_picture
from sr3.runtime.layer_calls import called_before_layers
from sr3.sampling.window_report import WindowDone
from sr3.upscaling.memory import window_bytes


def draw_samples(
    model: Model, images: Tensor, *, samples: int, **settings: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw samples of images (b, h, w, c) in [0, 1].

    model: of `sr3.load`; settings: of its `refine`. Returns the samples (b samples, h', w', c), their means
    (b, h', w', c), their deviations (b, h', w') and maps of these (b, h'', w'', 3), all in [0, 1], on ComfyUI's device
    for results and in its type.
    """
    follower = _Follower(len(images) * samples)
    followed = replace(model, upscaler=replace(model.upscaler, on_window=follower.after_window))
    groups = []
    with called_before_layers(model.upscaler.denoiser, _stop_if_asked):
        for image in images.float().cpu():
            low_res = image.movedim(-1, 0) * 2 - 1
            drawn = [_draw(followed, low_res, follower, sample=k, **settings) for k in range(samples)]
            groups.append(torch.stack(drawn))
    colours = [group[:, :3] for group in groups]
    deviations = torch.stack([_deviation(group) for group in colours])
    maps = torch.stack([_map(deviation, samples) for deviation in deviations])
    means = torch.stack([group.mean(0) for group in groups])
    return tuple(map(_as_result, (torch.cat(groups).movedim(1, -1), means.movedim(1, -1), deviations, maps)))


def make_room(model: Model) -> None:
    """Let ComfyUI move other models away, so that a window of the largest size fits into the device's memory."""
    upscaler = model.upscaler
    needed = upscaler.tile**2 * window_bytes(upscaler) + comfy.model_management.minimum_inference_memory()
    comfy.model_management.free_memory(needed, comfy.model_management.get_torch_device())


def _draw(model: Model, low_res: Tensor, follower: "_Follower", **settings: float | None) -> Tensor:
    """Draw one sample (c, h', w') in [0, 1]."""
    own = model.upscaler.info.config.sampling.steps
    follower.begin(low_res, settings["scale"] or model.scale, steps=settings["steps"] or own)
    image = None
    for refinement in model.refine(low_res, **settings):
        follower.after_step(refinement)
        image = refinement.image if refinement.is_last else None
        del refinement
    return (image.cpu() + 1) / 2


def _deviation(group: Tensor) -> Tensor:
    """Return the standard deviation at each pixel: the root of the mean of the channels' variances."""
    if len(group) == 1:
        return torch.zeros(group.shape[-2:])
    return group.var(0).mean(0).sqrt()


def _map(deviation: Tensor, samples: int) -> Tensor:
    title, unit = f"Standard deviation of {samples} samples", "levels of 255; what all samples share may be wrong too"
    drawn = map_picture(deviation * 255, title=title, unit=unit)
    return torch.from_numpy(np.array(drawn)).float() / 255


def _as_result(tensor: Tensor) -> Tensor:
    management = comfy.model_management
    kind = getattr(management, "intermediate_dtype", lambda: torch.float32)()  # ComfyUI 0.3.64 has none
    return tensor.contiguous().to(management.intermediate_device(), kind)


def _stop_if_asked() -> None:
    comfy.model_management.throw_exception_if_processing_interrupted()


class _Follower:
    """Shows progress and previews, and ends the work when ComfyUI asks for it."""

    def __init__(self, samples: int) -> None:
        self._samples, self._done = samples, 0
        self._steps, self._step = 1, 0
        self._shown = 0.0
        self._bar = comfy.utils.ProgressBar(samples)
        self._canvas = None

    def begin(self, low_res: Tensor, scale: float, *, steps: int) -> None:
        """Show the input (c, h, w) in [-1, 1] until there is more to see. steps: those of one pass."""
        _stop_if_asked()
        height, width = low_res.shape[-2:]
        self._steps, self._step = steps, 0
        self._canvas = _pillow(low_res[:3]).resize(_shown_size(scale * height, scale * width))
        self._show(self._done)

    def after_step(self, refinement: Refinement[Tensor]) -> None:
        """Show the image as it is after a step."""
        _stop_if_asked()
        self._steps, self._step = refinement.steps, refinement.step
        image = refinement.image[:3]
        self._canvas = _pillow(image).resize(_shown_size(*image.shape[-2:]), Image.Resampling.BOX)
        if refinement.is_last:
            self._done, self._step = self._done + 1, 0
        self._show(self._done + self._step / self._steps)

    def after_window(self, done: WindowDone) -> None:
        """Show a window that is computed, in the image of the step before."""
        _stop_if_asked()
        if done.total == 1:
            return
        top, left, height, width = done.window
        across, down = self._canvas.width / done.width, self._canvas.height / done.height
        size = max(1, round(width * across)), max(1, round(height * down))
        part = _pillow(done.image()[0, :3]).resize(size, Image.Resampling.BOX)
        self._canvas.paste(part, (round(left * across), round(top * down)))
        self._show(self._done + (self._step + done.number / done.total) / self._steps)

    def _show(self, value: float) -> None:
        most = latent_preview.MAX_PREVIEW_RESOLUTION
        self._shown = max(self._shown, value)  # of several passes, the steps are known after the first step only
        self._bar.update_absolute(self._shown, self._samples, ("JPEG", self._canvas.copy(), most))


def _shown_size(height: float, width: float) -> tuple[int, int]:
    """Return width and height of a preview of an image."""
    share = min(1, latent_preview.MAX_PREVIEW_RESOLUTION / max(height, width))
    return max(1, round(width * share)), max(1, round(height * share))


def _pillow(image: Tensor) -> Image.Image:
    """Convert (c, h, w) in [-1, 1], of one channel or three."""
    levels = ((image.float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.expand(3, -1, -1).movedim(0, -1).contiguous().numpy())
