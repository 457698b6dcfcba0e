"""Named settings. Each docstring gives the source of its numbers, or says that we measured them.

Loads no torch.
"""

from collections.abc import Callable
from typing import TypeAlias

from sr3.config import (
    Config,
    DataConfig,
    DenoiserConfig,
    NetworkConfig,
    OptimizerConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainingConfig,
)
from sr3.errors import ConfigError

__all__ = [
    "PRESETS",
    "REGRESSION",
    "faces_16_128",
    "faces_16_128_small",
    "faces_64",
    "faces_64_512",
    "faces_64_512_small",
    "faces_64_small",
    "faces_256_1024",
    "faces_256_1024_small",
    "imagenet_64",
    "imagenet_64_256",
    "imagenet_64_256_small",
    "imagenet_64_small",
    "is_preset",
    "photos_x4",
    "preset",
    "regression_of",
    "tiny_x4",
]

Preset: TypeAlias = Callable[[], Config]


_ALGORITHM_2 = SamplingConfig(clip=False, correct=False)
"""Sampling as the paper writes it: no clipping and no correction of low frequencies, as it mentions neither."""


def faces_16_128() -> Config:
    """Give the paper's faces 16 -> 128: Table A.1 (550M parameters, dropout 0.2), 1M steps of batch 256, Adam 1e-4.

    Open in the paper and chosen here, for this and the three presets below: attention at the level of side 16, which
    brings the parameters near the table's (here 553M); embedding as wide as the network; training betas 1e-6 .. 1e-2
    and EMA 0.9999, as the same group's Palette (arXiv:2111.05826) has them.
    """
    return Config(
        network=NetworkConfig(
            width=128, multipliers=(1, 2, 4, 8, 8), blocks=3, attention=(3,), features=128, dropout=0.2
        ),
        data=DataConfig(scale=8, augment="flip"),
        sampling=_ALGORITHM_2,
    )


def faces_64_512() -> Config:
    """Give the paper's faces 64 -> 512: Table A.1 (625M parameters, no dropout; here 606M), else as faces 16 -> 128."""
    return Config(
        network=NetworkConfig(width=64, multipliers=(1, 2, 4, 8, 8, 16, 16), blocks=3, attention=(5,), features=64),
        data=DataConfig(scale=8, augment="flip"),
        sampling=_ALGORITHM_2,
    )


def imagenet_64_256() -> Config:
    """Give the paper's ImageNet 64 -> 256: Table A.1 (625M parameters, no dropout; here 609M)."""
    return Config(
        network=NetworkConfig(width=128, multipliers=(1, 2, 4, 4, 8, 8), blocks=3, attention=(4,), features=128),
        data=DataConfig(scale=4, augment="flip"),
        sampling=_ALGORITHM_2,
    )


def faces_256_1024() -> Config:
    """Give the paper's faces 256 -> 1024, last stage of its cascade: Table A.1 (150M parameters; here 148M).

    Its input is blurred in training (section 4.4); how much is open, and here up to 2 pixels of the input.
    """
    return Config(
        network=NetworkConfig(
            width=16, multipliers=(1, 2, 4, 8, 16, 32, 32, 32), blocks=2, attention=(6,), features=16
        ),
        data=DataConfig(scale=4, augment="flip", blur=2.0),
        sampling=_ALGORITHM_2,
    )


def faces_64() -> Config:
    """Give a generator of 64x64 faces, first stage of the paper's cascade to 1024.

    The paper gives neither its network nor its training: the network here is as wide and deep as the paper's others,
    with attention at sides 16 and 8; rate, warm-up, batch and length are those of its upscalers.
    """
    return Config(
        network=NetworkConfig(
            condition="none", width=128, multipliers=(1, 2, 4, 4), blocks=3, attention=(2, 3), features=512, dropout=0.1
        ),
        data=DataConfig(scale=1, crop=64, augment="flip"),
        sampling=SamplingConfig(sampler="ancestral", steps=250, correct=False),
    )


def imagenet_64() -> Config:
    """Give a class-conditional generator of 64x64 ImageNet, first stage of the paper's cascade to 256.

    Open in the paper, as for `faces_64`; wider, as in CDM (arXiv:2106.15282). A tenth of the classes is hidden, for
    guidance, which the paper does not have and which is off.
    """
    return Config(
        network=NetworkConfig(
            condition="none",
            classes=1000,
            width=192,
            multipliers=(1, 2, 3, 4),
            blocks=3,
            attention=(2, 3),
            features=768,
            dropout=0.1,
        ),
        data=DataConfig(scale=1, crop=64, augment="flip", hide_class=0.1),
        sampling=SamplingConfig(sampler="ancestral", steps=250, correct=False),
    )


_SMALL_SAMPLING = SamplingConfig(sampler="dpmpp-2m", eta=1.0, steps=16, grid="cosine")


def _small_training(steps: int) -> TrainingConfig:
    return TrainingConfig(
        steps=steps,
        batch=16,
        precision="bfloat16",
        ema_decay=0.999,
        validate_every=1_600,
        validation_images=8,
        save_every=200,
    )


def faces_16_128_small() -> Config:
    """Give faces 16 -> 128 for two processor cores: 7.1M parameters, a second a step, what `photos_x4` found to pay.

    Whole pictures; the residual to the enlarged input has a deviation of 0.15, hence its factor.
    """
    return Config(
        network=NetworkConfig(
            width=32, multipliers=(1, 2, 4, 4), blocks=2, attention=(3,), head_width=32, features=96, stem=2
        ),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=6.0),
        data=DataConfig(scale=8, augment="flip"),
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup=300, cooldown=1_500),
        training=_small_training(4_800),
        sampling=_SMALL_SAMPLING,
    )


def _small_crops(base: Config, scale: int) -> Config:
    """Take the network of photos-x4 on crops of 64 pixels: any size of picture at the same cost a step."""
    photos = photos_x4()
    data = DataConfig(scale=scale, crop=64, augment="flip", blur=base.data.blur)
    training = _small_training(6_600)
    return photos.model_copy(update={"data": data, "training": training})


def faces_64_512_small() -> Config:
    """Give faces 64 -> 512 for two processor cores: the network of `photos_x4`, on crops."""
    return _small_crops(faces_64_512(), 8)


def imagenet_64_256_small() -> Config:
    """Give natural images 64 -> 256 for two processor cores: the network of `photos_x4`, on crops."""
    return _small_crops(imagenet_64_256(), 4)


def faces_256_1024_small() -> Config:
    """Give faces 256 -> 1024 for two processor cores: the network of `photos_x4`, on crops, the input blurred."""
    return _small_crops(faces_256_1024(), 4)


def faces_64_small() -> Config:
    """Give a generator of 64x64 faces for two processor cores: 10M parameters, v-prediction, a patch stem of 2."""
    return Config(
        network=NetworkConfig(
            condition="none",
            width=48,
            multipliers=(1, 2, 4),
            blocks=2,
            attention=(1, 2),
            head_width=48,
            features=192,
            stem=2,
        ),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v"),
        data=DataConfig(scale=1, crop=64, augment="flip"),
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup=300, cooldown=1_500),
        training=_small_training(6_000),
        sampling=SamplingConfig(sampler="dpmpp-2m", eta=1.0, steps=50, grid="cosine", correct=False),
    )


def imagenet_64_small() -> Config:
    """Give a class-conditional generator of 64x64 pictures for two processor cores, else as `faces_64_small`."""
    base = faces_64_small()
    network = base.network.model_copy(update={"classes": 1000})
    data = base.data.model_copy(update={"hide_class": 0.1})
    return base.model_copy(update={"network": network, "data": data})


def regression_of(config: Config) -> Config:
    """Give the paper's baseline of a model (section 3): the same network, one call, MSE, the peak in PSNR kept.

    Its rate is the paper's 1e-5 where that of the model is the paper's 1e-4, else that of the model.
    """
    paper = config.optimizer.learning_rate == OptimizerConfig().learning_rate
    rate = 1e-5 if paper else config.optimizer.learning_rate
    denoiser = config.denoiser.model_copy(update={"prediction": "y0", "loss": "l2", "objective": "regression"})
    return config.model_copy(
        update={
            "denoiser": denoiser,
            "optimizer": config.optimizer.model_copy(update={"learning_rate": rate}),
            "training": config.training.model_copy(update={"keep": "best-psnr"}),
            "sampling": SamplingConfig(sampler="regression", steps=1, grid="cosine", correct=config.sampling.correct),
        }
    )


def photos_x4() -> Config:
    """Give the packaged model for natural photographs, fourfold, sized for two processor cores.

    Beside the paper: a patch stem of 2, v-prediction of the residual times 4, cosine levels, 8.5M parameters.
    What it reaches is measured in its model card, `src/sr3/weights/photos-x4.md`.
    """
    return Config(
        network=NetworkConfig(width=48, multipliers=(1, 2, 4), blocks=2, features=96, stem=2),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=4.0),
        data=DataConfig(scale=4, crop=64, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup=300, cooldown=1800),
        training=TrainingConfig(
            steps=6_600,
            batch=16,
            precision="bfloat16",
            ema_decay=0.999,
            validate_every=2_000,
            validation_images=6,
            save_every=250,
        ),
        sampling=SamplingConfig(sampler="dpmpp-2m", eta=1.0, steps=16, grid="cosine"),
    )


def tiny_x4() -> Config:
    """Give a network of 0.18M parameters that trains in a minute: for trying the commands out, not for pictures."""
    return Config(
        network=NetworkConfig(width=16, multipliers=(1, 2), blocks=1, features=32, stem=2),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=4.0),
        data=DataConfig(scale=4, crop=32, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=20),
        training=TrainingConfig(
            steps=200, batch=8, ema_decay=0.99, validate_every=100, validation_images=2, save_every=100
        ),
        sampling=SamplingConfig(sampler="ddim", steps=8, grid="cosine"),
    )


PRESETS: dict[str, Preset] = {
    "photos-x4": photos_x4,
    "faces-16-128": faces_16_128,
    "faces-64-512": faces_64_512,
    "imagenet-64-256": imagenet_64_256,
    "faces-256-1024": faces_256_1024,
    "faces-64": faces_64,
    "imagenet-64": imagenet_64,
    "faces-16-128-small": faces_16_128_small,
    "faces-64-512-small": faces_64_512_small,
    "imagenet-64-256-small": imagenet_64_256_small,
    "faces-256-1024-small": faces_256_1024_small,
    "faces-64-small": faces_64_small,
    "imagenet-64-small": imagenet_64_small,
    "tiny-x4": tiny_x4,
}

REGRESSION = "-regression"
"""What is put after the name of an upscaler's preset for the baseline with the same network."""


def is_preset(name: str) -> bool:
    """Tell whether a name is that of a preset."""
    return name.removesuffix(REGRESSION) in PRESETS


def preset(name: str) -> Config:
    """Return the settings of a name; ConfigError lists the names there are."""
    base = name.removesuffix(REGRESSION)
    if not is_preset(name):
        raise ConfigError(
            f"{name}: no preset has this name; there are {', '.join(PRESETS)}, each upscaler also with {REGRESSION} "
            "after it, or give a .toml file"
        )
    config = PRESETS[base]()
    if base == name:
        return config
    if config.network.condition == "none":
        raise ConfigError(f"{name}: {base} generates from nothing, so there is no regression to it")
    return regression_of(config)
