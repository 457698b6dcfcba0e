"""Configurations for two CPU cores: the packaged models, and a small sibling of each of the paper's."""

from sr3.config import (
    BigGANConfig,
    Config,
    DataConfig,
    DenoiserConfig,
    OptimizerConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainingConfig,
)
from sr3.presets.paper import faces_64_512, faces_256_1024, imagenet_64_256

__all__ = [
    "faces_16_128_small",
    "faces_64_512_small",
    "faces_64_small",
    "faces_256_1024_small",
    "imagenet_64_256_small",
    "imagenet_64_small",
    "photos_x4",
    "tiny_x4",
]


def photos_x4() -> Config:
    """Return the packaged model for natural photographs, fourfold, sized for two processor cores.

    Beside the paper: a patch stem of 2, v-prediction of the residual times 4, cosine levels, 8.5M parameters.
    What it reaches is measured in its model card, `src/sr3/weights/photos-x4.md`.
    """
    return Config(
        network=BigGANConfig(width=48, multipliers=(1, 2, 4), blocks=2, features=96, stem=2),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=4.0),
        data=DataConfig(scale=4, crop=64, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup=300, cooldown=1800),
        training=TrainingConfig(
            steps=6_600,
            batch=16,
            precision="auto",
            ema_decay=0.999,
            validate_every=2_000,
            validation_images=6,
            save_every=250,
        ),
        sampling=SamplingConfig(sampler="dpmpp-2m", eta=1.0, steps=16, grid="cosine"),
    )


def tiny_x4() -> Config:
    """Return a network of 0.18M parameters that trains in a minute: for trying the commands out, not for images."""
    return Config(
        network=BigGANConfig(width=16, multipliers=(1, 2), blocks=1, features=32, stem=2),
        schedule=ScheduleConfig(kind="cosine"),
        denoiser=DenoiserConfig(prediction="v", target="residual", target_scale=4.0),
        data=DataConfig(scale=4, crop=32, augment="dihedral"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=20),
        training=TrainingConfig(
            steps=200, batch=8, ema_decay=0.99, validate_every=100, validation_images=2, save_every=100
        ),
        sampling=SamplingConfig(sampler="ddim", steps=8, grid="cosine"),
    )


_SMALL_SAMPLING = SamplingConfig(sampler="dpmpp-2m", eta=1.0, steps=16, grid="cosine")


def _small_training(steps: int) -> TrainingConfig:
    return TrainingConfig(
        steps=steps,
        batch=16,
        precision="auto",
        ema_decay=0.999,
        validate_every=1_600,
        validation_images=8,
        save_every=200,
    )


def faces_16_128_small() -> Config:
    """Return faces 16 -> 128 for two processor cores: 7.1M parameters, a second per step, what `photos_x4` found out.

    Whole images; the residual to the enlarged input has a deviation of 0.15, hence its factor.
    """
    return Config(
        network=BigGANConfig(
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
    """Take the network of photos-x4 on crops of 64 pixels: any size of image at the same cost a step."""
    photos = photos_x4()
    data = DataConfig(scale=scale, crop=64, augment="flip", blur=base.data.blur)
    training = _small_training(6_600)
    return photos.model_copy(update={"data": data, "training": training})


def faces_64_512_small() -> Config:
    """Return faces 64 -> 512 for two processor cores: the network of `photos_x4`, on crops."""
    return _small_crops(faces_64_512(), 8)


def imagenet_64_256_small() -> Config:
    """Return natural images 64 -> 256 for two processor cores: the network of `photos_x4`, on crops."""
    return _small_crops(imagenet_64_256(), 4)


def faces_256_1024_small() -> Config:
    """Return faces 256 -> 1024 for two processor cores: the network of `photos_x4`, on crops, the input blurred."""
    return _small_crops(faces_256_1024(), 4)


def faces_64_small() -> Config:
    """Return a generator of 64x64 faces for two processor cores: 10M parameters, v-prediction, a patch stem of 2."""
    return Config(
        network=BigGANConfig(
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
    """Return a class-conditional generator of 64x64 images for two processor cores, else as `faces_64_small`."""
    base = faces_64_small()
    network = base.network.model_copy(update={"classes": 1000})
    data = base.data.model_copy(update={"class_dropout": 0.1})
    return base.model_copy(update={"network": network, "data": data})
