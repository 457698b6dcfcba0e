"""The models that a server offers, each loaded on a device when a job first needs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sr3.checkpoint import ModelFile, ModelInfo, read_model
from sr3.config import SamplingConfig
from sr3.diffusion.samplers import SAMPLERS
from sr3.errors import ConfigError
from sr3.runtime.device import choose_device, choose_dtype
from sr3.sampling.plan import as_plan
from sr3.sampling.upscaler import Upscaler, load_upscaler
from sr3.upscaling.channels import check_channels
from sr3.upscaling.memory import predict_seconds
from sr3.web.schema import JobSettings, ModelView
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL, find_model

__all__ = ["Loaded", "ModelList", "Offered", "choose_devices"]

_TEXTS = {
    DEFAULT_MODEL: ("Fast", "Natural photographs in one network call. Each seed gives another plausible image."),
    REFINING_MODEL: ("Refining", "Natural photographs refined step by step. Takes steps and a share of detail."),
}
_USUAL_STEPS = (8, 16, 50, 100)
_TRIAL_SIDE = 1024


@dataclass(frozen=True)
class Offered:
    """A model on the list. option: what `--model` of the command line takes, without a folder."""

    file: ModelFile
    option: str

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self.file.info

    @property
    def is_refining(self) -> bool:
        """Whether steps and detail can be chosen."""
        return SAMPLERS[self.info.config.sampling.sampler].traits.any_grid

    def view(self) -> ModelView:
        """Describe it for the page."""
        own = self.info.config.sampling
        title, description = _TEXTS.get(self.info.name, (self.info.name, self.info.data or f"{own.steps} steps."))
        found = {grid.steps for grid in own.searched if grid.sampler == own.sampler}
        choices = sorted({own.steps, *(found or _USUAL_STEPS)}) if self.is_refining else [own.steps]
        return ModelView(
            name=self.info.name,
            scale=self.info.config.data.scale,
            title=title,
            description=description,
            steps=own.steps,
            steps_choices=choices,
            detail=own.detail if self.is_refining else None,
            stochastic=own.sampler != "regression",
        )


class ModelList:
    """The offered models by name; the first is the default."""

    def __init__(self, names: Sequence[str]) -> None:
        """Read the files; CheckpointError and ConfigError for what is no model or cannot be used here."""
        self._offered: dict[str, Offered] = {}
        for name in names:
            one = Offered(read_model(find_model(name)), Path(name).name)
            if one.info.config.network.condition == "none":
                raise ConfigError(f"--model {name}: generates images without an input; name a model that upscales")
            check_channels(one.info)
            if one.info.name in self._offered:
                raise ConfigError(f"--model {name}: another model is called {one.info.name} too; offer one of them")
            self._offered[one.info.name] = one

    def __iter__(self):  # noqa: ANN204
        """Go through the models, the default first."""
        return iter(self._offered.values())

    def choose(self, settings: JobSettings) -> Offered:
        """Choose as `sr3 upscale` does; ConfigError for a name that is not on the list."""
        if settings.model is not None:
            if settings.model not in self._offered:
                raise ConfigError(
                    f"model {settings.model}: is not offered here; give one of {', '.join(self._offered)}"
                )
            return self._offered[settings.model]
        first = next(iter(self._offered.values()))
        if first.info.name == DEFAULT_MODEL and (settings.steps is not None or settings.detail is not None):
            return self._offered.get(REFINING_MODEL, first)
        return first


class Loaded:
    """The models of the list on one device, and how fast they are there."""

    def __init__(self, device: torch.device, dtype: str = "auto") -> None:
        """Load none. dtype: in which the models compute, as `choose_dtype` takes it."""
        self.device, self._dtype = device, choose_dtype(dtype, device)
        self._upscalers: dict[str, Upscaler] = {}
        self._seconds: dict[str, float] = {}

    def upscaler(self, offered: Offered) -> Upscaler:
        """Load a model if this is its first use, and time it on a small window, which also prepares the device."""
        name = offered.info.name
        if name not in self._upscalers:
            upscaler = load_upscaler(offered.file, device=self.device, dtype=self._dtype)
            plan = as_plan(offered.info.config.sampling)
            self._seconds[name] = predict_seconds(upscaler, _TRIAL_SIDE, _TRIAL_SIDE, plan) / (
                plan.calls * _TRIAL_SIDE**2
            )
            self._upscalers[name] = upscaler
        return self._upscalers[name]

    def predict(self, offered: Offered, pixels: int, sampling: SamplingConfig) -> float:
        """Estimate the seconds of a sample by earlier ones."""
        return self._seconds[offered.info.name] * pixels * as_plan(sampling).calls

    def learn(self, offered: Offered, pixels: int, sampling: SamplingConfig, seconds: float) -> None:
        """Keep how long a sample took."""
        self._seconds[offered.info.name] = seconds / (pixels * as_plan(sampling).calls)


def choose_devices(name: str) -> list[torch.device]:
    """Choose the devices that work at the same time: all GPUs where GPUs are meant; ConfigError as `choose_device`."""
    device = choose_device(name)
    if str(device) != "cuda":  # the processor, or a GPU that is named
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
