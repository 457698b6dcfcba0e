"""Networks: tensors in, tensors out; what their output means is the denoiser's business.

    from sr3.networks import UNet

Each is built from its settings in `sr3.config`, such as `UNet(BigGANConfig(), image_channels=3, scale=4)`.

Names are loaded on first use, so that `import sr3` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sr3.networks.critic import Critic
    from sr3.networks.drcn import DRCN
    from sr3.networks.enet import ENet
    from sr3.networks.fsrcnn import FSRCNN
    from sr3.networks.one_call import OneCallNetwork
    from sr3.networks.rcan import RCAN
    from sr3.networks.span import SPAN
    from sr3.networks.unet import UNet

__all__ = [
    "DRCN",
    "FSRCNN",
    "RCAN",
    "SPAN",
    "Critic",
    "ENet",
    "OneCallNetwork",
    "UNet",
]

_HOME = {
    "Critic": "critic",
    "DRCN": "drcn",
    "ENet": "enet",
    "FSRCNN": "fsrcnn",
    "OneCallNetwork": "one_call",
    "RCAN": "rcan",
    "SPAN": "span",
    "UNet": "unet",
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any public name)
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
