"""Models of sr3 in spandrel (https://github.com/chaiNNer-org/spandrel), and so in ComfyUI and chaiNNer.

    import sr3.spandrel

    sr3.spandrel.register()
    model = spandrel.ModelLoader().load_from_file("photos-x4-fast-spandrel.safetensors")

These programs pass tensors only, so the settings travel as one more tensor: JSON as uint8, under `sr3_settings`. An
image is enlarged by one to four network calls from noise of a fixed seed, so the same image gives the same result.
`sr3 export --spandrel` writes such files; `sr3` reads them, too. Needs the extra `spandrel`, except for writing.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from sr3.atomic import whole_file
from sr3.build import Network
from sr3.checkpoint import SETTINGS_TENSOR, ModelFile, describe, model_of, read_model
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.noise import mix_seed
from sr3.errors import CheckpointError, ConfigError
from sr3.parsing import parse_json
from sr3.runtime.device import choose_dtype
from sr3.sampling.filling import build_filled
from sr3.sampling.plan import as_plan, sampling_for
from sr3.sampling.upscaler import Upscaler
from sr3.types import Image, LowRes
from sr3.zoo import find_model

__all__ = ["MAX_CALLS", "FixedNoiseUpscaler", "build_architecture", "export_spandrel", "is_model", "register"]

MAX_CALLS = 4
"""Network calls of a file for spandrel at most: its programs show no progress within an image and cannot stop there."""

_SEED = mix_seed(0, 0)
"""The noise of the first sample of `sr3 upscale`."""
_LEVELS, _NOISE_SEED = "levels", "noise_seed"


class FixedNoiseUpscaler(nn.Module):
    """A model that enlarges every image from the same fixed noise.

    It computes with float32 weights, in bfloat16 where the device has instructions for it, as `sr3 upscale` does.
    Images whose result is larger than 1024 pixels are cut into windows inside, at every step.
    """

    def __init__(self, file: ModelFile) -> None:
        """Build the networks of a model file; CheckpointError when they do not fit its settings."""
        super().__init__()
        self.info = file.info
        self.denoiser: Denoiser[Network] = build_filled(file, torch.device("cpu"))
        self.register_buffer(SETTINGS_TENSOR, _packed(file))

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge images (b, c, h, w) in [0, 1] to (b, c', s h, s w) in [0, 1], of the same type and device."""
        # Outside of inference mode, for what is kept from call to call must serve training in the same process.
        with torch.inference_mode(mode=False), torch.no_grad():
            large = self._upscale(image.to(torch.float32, copy=True) * 2 - 1)
            return ((large + 1) / 2).to(image)

    def _upscale(self, low_res: LowRes) -> Image:
        dtype = choose_dtype("auto", low_res.device)
        upscaler = Upscaler(self.info, self.denoiser, low_res.device, dtype)
        return upscaler.upscale(low_res, sampling=self.info.config.sampling, seeds=[_SEED] * len(low_res))


def is_model(state_dict: Mapping[str, object]) -> bool:
    """Return whether a state dict was written by `export_spandrel`."""
    return SETTINGS_TENSOR in state_dict


def export_spandrel(model: str, target: Path, *, steps: int | None = None) -> int:
    """Write a model, found by name, path, run folder or address, as one file for spandrel; returns the network calls.

    steps: sampling steps, None for the model's own. Weights are kept in half precision where their file has it.
    Raises ConfigError for a generator and for more than `MAX_CALLS` calls, CheckpointError when the disk refuses.
    """
    file = read_model(find_model(model))
    if file.info.config.network.condition == "none":
        raise ConfigError(f"{file.info.name}: generates images without an input, which spandrel does not do")
    sampling = sampling_for(file.info, steps=steps)
    if (calls := as_plan(sampling).calls) > MAX_CALLS:
        raise ConfigError(
            f"{file.info.name}: takes {calls} network calls per image, and spandrel's programs show no progress within "
            f"one; give --steps for at most {MAX_CALLS} calls"
        )
    config = file.info.config.model_copy(update={"sampling": sampling})
    file = ModelFile(file.info.model_copy(update={"config": config}), file.weights)
    FixedNoiseUpscaler(file)
    kept = {name: weight.half() if torch.equal(weight.half().float(), weight) else weight
            for name, weight in file.weights.items()}  # fmt: skip
    data = save({**kept, SETTINGS_TENSOR: _packed(file)}, metadata={"sr3": json.dumps(describe(file.info))})
    try:
        with whole_file(target) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CheckpointError(f"{target}: cannot be written ({error.strerror}); choose another place") from error
    return calls


def register(registry: Any = None) -> None:  # noqa: ANN401 (of spandrel)
    """Add the architecture to a spandrel registry (None: the main one), before all others; further calls do nothing.

    Raises CheckpointError when spandrel is missing or broken.
    """
    spandrel = _spandrel()
    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    others = tuple(entry.architecture.id for entry in registry)
    registry.add(spandrel.ArchSupport.from_architecture(build_architecture(), before=others), ignore_duplicates=True)


def build_architecture() -> Any:  # noqa: ANN401 (of spandrel)
    """Make spandrel's description of models of sr3; its `load` raises CheckpointError for damaged ones."""
    spandrel = _spandrel()

    class SR3Arch(spandrel.Architecture):
        def __init__(self) -> None:
            super().__init__(id="SR3", detect=is_model)

        def load(self, state_dict: dict[str, Any]) -> Any:  # noqa: ANN401
            module = _built(state_dict)
            info, upscaler = module.info, Upscaler(module.info, module.denoiser, torch.device("cpu"), torch.float32)
            plan, scale = as_plan(info.config.sampling), info.config.data.scale
            tiling = spandrel.ModelTiling.INTERNAL if upscaler.shares_statistics else spandrel.ModelTiling.SUPPORTED
            return spandrel.ImageModelDescriptor(
                module,
                module.state_dict(),
                architecture=self,
                purpose="SR" if scale > 1 else "Restoration",
                tags=[info.config.network.family, f"{plan.calls} call{'s' if plan.calls > 1 else ''}"],
                supports_half=False,
                supports_bfloat16=False,
                scale=scale,
                input_channels=info.condition_channels,
                output_channels=info.image_channels,
                size_requirements=spandrel.SizeRequirements(minimum=1),
                tiling=tiling,
            )

    return SR3Arch()


def _spandrel() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("spandrel")
    except (ImportError, RuntimeError) as error:
        raise CheckpointError(
            "spandrel or its torchvision is missing or broken; pip install 'sr3[spandrel]'"
        ) from error


def _packed(file: ModelFile) -> Tensor:
    """Write the settings as bytes, with the levels and the seed of the noise for programs without this package."""
    levels = as_plan(file.info.config.sampling).grid.tolist()
    content = json.dumps({**describe(file.info), _LEVELS: levels, _NOISE_SEED: mix_seed(_SEED)})
    return torch.frombuffer(bytearray(content.encode()), dtype=torch.uint8)


def _built(state_dict: Mapping[str, Any]) -> FixedNoiseUpscaler:
    where, tensors = "the state dict", dict(state_dict)
    packed = cast(Tensor, tensors.pop(SETTINGS_TENSOR))
    try:
        description = dict(parse_json(bytes(packed.cpu().to(torch.uint8).tolist()).decode()))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: its settings are damaged; fetch or copy the file again") from error
    own = {name: value for name, value in description.items() if name not in (_LEVELS, _NOISE_SEED)}
    return FixedNoiseUpscaler(model_of(tensors, own, where=where))
