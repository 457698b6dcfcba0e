"""SR3: super-resolution by iterative refinement in one to four network calls (arXiv:2104.07636)."""

import json
from typing import Any

from typing_extensions import override

from ...__helpers.model_descriptor import (  # noqa: TID252 (spandrel's own style)
    Architecture,
    ImageModelDescriptor,
    ModelTiling,
    StateDict,
)
from ...util import KeyCondition  # noqa: TID252
from .__arch.sr3 import SETTINGS, SR3

_SAMPLERS = ("ddim", "distilled", "dpmpp-2m", "regression")


class SR3Arch(Architecture[SR3]):
    """Models that `sr3 export --spandrel` writes: their settings are a tensor of the state dict."""

    def __init__(self) -> None:
        """Detect the tensor of settings."""
        super().__init__(id="SR3", detect=KeyCondition.has_all(SETTINGS, "head.weight", "embedding.layers.0.weight"))

    @override
    def load(self, state_dict: StateDict) -> ImageModelDescriptor[SR3]:
        """Build the network that the settings describe; ValueError for those that this code has no network for."""
        packed = state_dict[SETTINGS]
        settings: dict[str, Any] = json.loads(bytes(packed.tolist()).decode())
        config, scale = settings["config"], settings["config"]["data"]["scale"]
        check_supported(settings)
        calls = len(settings["levels"]) - 1
        return ImageModelDescriptor(
            SR3(settings, packed),
            state_dict,
            architecture=self,
            purpose="Restoration" if scale == 1 else "SR",
            tags=[f"{config['network']['width']}w", f"{calls} call{'s' if calls > 1 else ''}"],
            supports_half=False,
            supports_bfloat16=False,
            scale=scale,
            input_channels=settings["image_channels"],
            output_channels=settings["image_channels"],
            # Normalisation looks at the whole image.
            tiling=ModelTiling.DISCOURAGED,
        )


def check_supported(settings: dict[str, Any]) -> None:
    """Raise ValueError, which names the setting, for a model that needs the package sr3."""
    config = settings["config"]
    network, sampling = config["network"], config["sampling"]
    needs = {
        f"network.family {network['family']}": network["family"] != "biggan",
        "network.classes": network["classes"] > 0,
        "network.condition_level": network["condition_level"],
        "network.condition_channels": network["condition_channels"] > 0,
        "data.enlarged": config["data"]["enlarged"] != "full",
        f"sampling.sampler {sampling['sampler']}": sampling["sampler"] not in _SAMPLERS,
        "sampling.detail": sampling["detail"] < 1,
    }
    if found := [name for name, needed in needs.items() if needed]:
        raise ValueError(f"SR3: {', '.join(found)} needs the package sr3: call sr3.spandrel.register()")


__all__ = ["SR3", "SR3Arch"]
