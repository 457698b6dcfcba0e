"""Networks: tensors in, tensors out; the denoiser (`sr3.diffusion.Denoiser`) interprets the output.

    from sr3.networks import UNet

Each is built from its settings in `sr3.config`, such as `UNet(BigGANConfig(), image_channels=3, scale=4)`.

Names are loaded on first use, so that `import sr3` loads no torch.
"""

from typing import TYPE_CHECKING

from sr3.lazy import loading

if TYPE_CHECKING:
    from sr3.networks.discriminator import DiscriminatorNet
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
    "DiscriminatorNet",
    "ENet",
    "OneCallNetwork",
    "UNet",
]

_PARTS = ("discriminator", "drcn", "enet", "fsrcnn", "one_call", "rcan", "span", "unet")
__getattr__, __dir__ = loading(__name__, __all__, _PARTS)
