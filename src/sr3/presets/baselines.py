"""Networks that the paper compares with, and SPAN: x4, each at its published size and for two CPU cores.

Each answers in one call and is trained by the same loop as everything else, so that all are compared on the same
images. From its paper are network and loss (but for DRCN's weight decay), and batch, patch and rate where the
docstring says so; the length is ours, and what docs/explanation/results.md lists. `data.scale` sets another scale.
"""

from typing import Literal

from sr3.config import (
    AdversaryConfig,
    Config,
    DataConfig,
    DenoiserConfig,
    DRCNConfig,
    ENetConfig,
    FSRCNNConfig,
    NetworkConfig,
    OptimizerConfig,
    RCANConfig,
    RegressionConfig,
    SamplingConfig,
    SPANConfig,
    TrainingConfig,
)

__all__ = [
    "drcn_x4",
    "drcn_x4_small",
    "enet_pat_x4",
    "enet_pat_x4_small",
    "enet_x4",
    "enet_x4_small",
    "fsrcnn_x4",
    "fsrcnn_x4_small",
    "rcan_x4",
    "rcan_x4_small",
    "span_x4",
    "span_x4_small",
]

_ONE_CALL = SamplingConfig(sampler="regression", steps=1, grid="cosine", correct=False)
"""One call, and no correction of low frequencies, which none of the papers has."""


def _baseline(
    network: NetworkConfig,
    *,
    crop: int,
    batch: int,
    rate: float,
    loss: Literal["l1", "l2"] = "l2",
    supervision: float = 0.0,
    residual: bool = False,
) -> Config:
    return Config(
        network=network,
        denoiser=DenoiserConfig(prediction="y0", target="residual" if residual else "image"),
        objective=RegressionConfig(loss=loss, supervision=supervision),
        data=DataConfig(scale=4, crop=crop, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=rate, warmup=1_000, cooldown=200_000),
        training=TrainingConfig(steps=1_000_000, batch=batch, keep="best-psnr", ema_decay=0.999),
        sampling=_ONE_CALL,
    )


def _for_two_cores(config: Config, network: NetworkConfig, *, crop: int = 64, rate: float | None = None) -> Config:
    """Take a smaller network and a training of an hour or so."""
    return config.model_copy(
        update={
            "network": network,
            "data": config.data.model_copy(update={"crop": crop}),
            "optimizer": OptimizerConfig(
                learning_rate=rate or config.optimizer.learning_rate, warmup=300, cooldown=1_800
            ),
            "training": config.training.model_copy(
                update={
                    "steps": 6_600,
                    "batch": 16,
                    "validate_every": 1_600,
                    "validation_images": 8,
                    "save_every": 200,
                }
            ),
        }
    )


def fsrcnn_x4() -> Config:
    """Return FSRCNN(56, 12, 4) (arXiv:1608.00367): 12,464 weights on luminance as in the paper; 24,683 on colour."""
    return _baseline(FSRCNNConfig(width=56, inner=12, layers=4), crop=64, batch=32, rate=1e-3)


def fsrcnn_x4_small() -> Config:
    """Return FSRCNN-s(32, 5, 1), its paper's own small one."""
    return _for_two_cores(fsrcnn_x4(), FSRCNNConfig(width=32, inner=5, layers=1))


def drcn_x4() -> Config:
    """Return DRCN (arXiv:1511.04491): 256 channels, 16 recursions, 1.8M parameters; patches of 40 (there 41), batch 64.

    The share of recursive supervision starts high and falls, its paper says; here from 0.5.
    """
    network = DRCNConfig(width=256, recursions=16)
    return _baseline(network, crop=40, batch=64, rate=1e-4, supervision=0.5)


def drcn_x4_small() -> Config:
    """Return DRCN for two processor cores: 32 channels, 8 recursions."""
    return _for_two_cores(drcn_x4(), DRCNConfig(width=32, recursions=8), crop=40, rate=3e-4)


def rcan_x4() -> Config:
    """Return RCAN (arXiv:1807.02758): 10 groups of 20 blocks, 64 channels, 4 inside the attention, 15.6M parameters.

    L1, batch 16, inputs of 48 pixels, Adam 1e-4, all turns and mirrors, as there.
    """
    network = RCANConfig(width=64, blocks=20, groups=10, attention_width=4)
    return _baseline(network, crop=192, batch=16, rate=1e-4, loss="l1")


def rcan_x4_small() -> Config:
    """Return RCAN for two processor cores: 3 groups of 4 blocks, 32 channels."""
    network = RCANConfig(width=32, blocks=4, groups=3, attention_width=4)
    return _for_two_cores(rcan_x4(), network, rate=3e-4)


def enet_x4() -> Config:
    """Return ENet-E (EnhanceNet, arXiv:1612.07919): 10 blocks, 64 channels, 0.85M parameters, the squared error alone.

    Truths of 128 pixels and Adam 1e-4, as there. The paper's tables of classification have this variant.
    """
    return _baseline(ENetConfig(width=64, blocks=10), crop=128, batch=64, rate=1e-4, residual=True)


def enet_x4_small() -> Config:
    """Return ENet-E for two processor cores: 5 blocks, 32 channels."""
    return _for_two_cores(enet_x4(), ENetConfig(width=32, blocks=5), rate=3e-4)


def enet_pat_x4() -> Config:
    """Return ENet-PAT (EnhanceNet, arXiv:1612.07919): the network of ENet-E with its three other losses.

    Its features are VGG's; here ST-LPIPS's AlexNet, which comes in a package, or the file that is named in
    `objective.adversary.features`. The weights are ours: for bicubic enlargements of photographs they bring features,
    textures and the discriminator to 0.004, 0.003 and 0.001, where the squared error, left out there and kept here, is
    0.003.
    """
    return _with_discriminator(enet_x4())


def enet_pat_x4_small() -> Config:
    """Return ENet-PAT for two processor cores: 5 blocks, 32 channels, a discriminator of half the width."""
    return _with_discriminator(enet_x4_small(), width=16)


def span_x4() -> Config:
    """Return SPAN (arXiv:2311.12770): 48 channels, 6 blocks, 0.43M parameters in its inference form.

    L1, batch 64, inputs of 64 pixels and Adam 5e-4, as there. `weights/span-x4.safetensors` has the published weights.
    """
    return _baseline(SPANConfig(width=48, blocks=6), crop=256, batch=64, rate=5e-4, loss="l1")


def span_x4_small() -> Config:
    """Return SPAN for two processor cores: 32 channels, 4 blocks."""
    return _for_two_cores(span_x4(), SPANConfig(width=32, blocks=4), crop=96)


def _with_discriminator(config: Config, *, width: int = 32) -> Config:
    adversary = AdversaryConfig(adversarial=1e-3, perceptual=1e-3, texture=1e-5, features="st-lpips", width=width)
    return config.model_copy(
        update={
            "objective": RegressionConfig(adversary=adversary),
            "training": config.training.model_copy(update={"keep": "last"}),
        }
    )
