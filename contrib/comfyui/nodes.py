"""Two nodes of ComfyUI's node interface, version 3: one loads a model of sr3, the other draws its samples.

ComfyUI's images are tensors (b, h, w, c) in [0, 1], masks (b, h, w). The results are those of
`sr3 upscale` for the same image, settings and seed.
"""

from pathlib import Path

import comfy.model_management
import folder_paths
from comfy_api.latest import ComfyExtension, io
from torch import Tensor

import sr3
from sr3.errors import Sr3Error
from sr3.zoo import DEFAULT_MODEL, packaged_models

from .drawing import draw_samples, make_room

FOLDER = "sr3"
MOST_STEPS, MOST_SAMPLES, MOST_SCALE = 1000, 64, 16

SR3Model = io.Custom("SR3_MODEL")

folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def _names() -> list[str]:
    """Name the models of the package, and the files in ComfyUI's folder models/sr3."""
    files = folder_paths.get_filename_list(FOLDER)
    return [*packaged_models(), *(name for name in files if name.endswith(".safetensors"))]


class SR3LoadModel(io.ComfyNode):
    """Makes a model ready on ComfyUI's device."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return io.Schema(
            node_id="SR3LoadModel",
            display_name="Load SR3 Model",
            category="image/upscaling",
            description="A model of the package sr3, or a .safetensors file in models/sr3.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=_names(),
                    default=DEFAULT_MODEL,
                    tooltip="photos-x4-fast: one call; photos-x4-web: cleans JPEG first; photos-x4: several steps.",
                ),
                io.Float.Input(
                    "restoration",
                    default=-1.0,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How strongly photos-x4-web cleans: below 0 as it measures in each image, 0 not at all.",
                ),
            ],
            outputs=[SR3Model.Output()],
        )

    @classmethod
    def execute(cls, model: str, restoration: float) -> io.NodeOutput:
        """Load the model; images come here without their files, so the quality of a JPEG is not known."""
        place = model if model in packaged_models() else folder_paths.get_full_path_or_raise(FOLDER, model)
        device = comfy.model_management.get_torch_device()
        strength = "auto" if restoration < 0 else restoration
        return io.NodeOutput(sr3.load(place, device=device.type, restoration=strength))


class SR3Upscale(io.ComfyNode):
    """Draws samples of p(large image | image)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return io.Schema(
            node_id="SR3Upscale",
            display_name="Upscale Image (SR3)",
            category="image/upscaling",
            description="Draws one or more large images that fit a small one, and shows where they differ.",
            inputs=[
                SR3Model.Input("model"),
                io.Image.Input("image"),
                io.Float.Input(
                    "scale",
                    default=0.0,
                    min=0.0,
                    max=MOST_SCALE,
                    step=0.25,
                    tooltip="Times as wide and high; 0 for the model's own.",
                ),
                io.Int.Input(
                    "steps", default=0, min=0, max=MOST_STEPS, tooltip="Refinement steps; 0 for the model's own."
                ),
                io.Float.Input(
                    "detail",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="1 for a sample with all its invented detail, 0 for nearly the mean of all that fit.",
                ),
                io.Int.Input(
                    "samples",
                    default=1,
                    min=1,
                    max=MOST_SAMPLES,
                    tooltip="Images to draw of each input; with 2 or more, the deviation shows where they differ.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed gives the same images, and those of sr3 upscale --seed.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="samples", tooltip="The samples of the first image, then those of the second, ..."
                ),
                io.Image.Output(display_name="mean", tooltip="The mean of the samples of each image."),
                io.Mask.Output(
                    display_name="deviation",
                    tooltip="Standard deviation of the samples at each pixel, 0 to 1 of the range; 0 for one sample.",
                ),
                io.Image.Output(
                    display_name="deviation map", tooltip="The deviation in colours with a legend in levels of 255."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model: sr3.Model, image: Tensor, scale: float, steps: int, detail: float, samples: int, seed: int
    ) -> io.NodeOutput:
        """Draw the samples."""
        try:
            make_room(model)
            drawn = draw_samples(
                model,
                image,
                samples=samples,
                scale=scale or None,
                steps=steps or None,
                detail=detail,
                seed=seed,
            )
        except Sr3Error as error:
            raise ValueError(str(error)) from None
        return io.NodeOutput(*drawn)


class SR3Extension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return [SR3LoadModel, SR3Upscale]


async def comfy_entrypoint() -> SR3Extension:
    """Return the extension; ComfyUI calls it by this name."""
    return SR3Extension()
