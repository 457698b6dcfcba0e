"""The paper's configurations, with our choices where it leaves one open. Each docstring gives its source."""

from sr3.config import (
    BigGANConfig,
    Config,
    DataConfig,
    SamplingConfig,
)

__all__ = ["faces_16_128", "faces_64", "faces_64_512", "faces_256_1024", "imagenet_64", "imagenet_64_256"]

_ALGORITHM_2 = SamplingConfig(clip=False, correct=False)
"""Sampling as the paper writes it: no clipping and no correction of low frequencies, as it mentions neither."""


def faces_16_128() -> Config:
    """Return the paper's faces 16 -> 128: Table A.1 (550M parameters, dropout 0.2), 1M steps of batch 256, Adam 1e-4.

    Open in the paper and chosen here, for this and the three presets below: attention at the level of side 16, which
    brings the parameters near the table's (here 553M); an embedding of the noise level as wide as the network, so that
    no number is added to the table's; training betas 1e-6 .. 1e-2 and EMA 0.9999, as the same group's Palette
    (arXiv:2111.05826) has them; no clipping and no correction in sampling, for the paper mentions neither.
    """
    return Config(
        network=BigGANConfig(
            width=128, multipliers=(1, 2, 4, 8, 8), blocks=3, attention=(3,), features=128, dropout=0.2
        ),
        data=DataConfig(scale=8, augment="flip"),
        sampling=_ALGORITHM_2,
    )


def faces_64_512() -> Config:
    """Return the paper's faces 64 -> 512: Table A.1 (625M parameters, no dropout; here 606M), else as faces 16 -> 128.

    What is open is chosen as there: attention at side 16, embedding as wide as the network (64), betas and EMA.
    """
    return Config(
        network=BigGANConfig(width=64, multipliers=(1, 2, 4, 8, 8, 16, 16), blocks=3, attention=(5,), features=64),
        data=DataConfig(scale=8, augment="flip"),
        sampling=_ALGORITHM_2,
    )


def imagenet_64_256() -> Config:
    """Return the paper's ImageNet 64 -> 256: Table A.1 (625M parameters, no dropout; here 609M).

    What is open is chosen as for faces 16 -> 128: attention at side 16, embedding as wide as the network (128), betas
    and EMA.
    """
    return Config(
        network=BigGANConfig(width=128, multipliers=(1, 2, 4, 4, 8, 8), blocks=3, attention=(4,), features=128),
        data=DataConfig(scale=4, augment="flip"),
        sampling=_ALGORITHM_2,
    )


def faces_256_1024() -> Config:
    """Return the paper's faces 256 -> 1024, last stage of its cascade: Table A.1 (150M parameters; here 148M).

    Its input is blurred in training (section 4.4); how much is open, and here up to 2 pixels of the input. What else is
    open is chosen as for faces 16 -> 128: attention at side 16, embedding as wide as the network (16), betas and EMA.
    """
    return Config(
        network=BigGANConfig(width=16, multipliers=(1, 2, 4, 8, 16, 32, 32, 32), blocks=2, attention=(6,), features=16),
        data=DataConfig(scale=4, augment="flip", blur=2.0),
        sampling=_ALGORITHM_2,
    )


def faces_64() -> Config:
    """Return a generator of 64x64 faces, first stage of the paper's cascade to 1024.

    The paper gives neither its network nor its training: the network here is as wide and deep as the paper's others,
    with attention at sides 16 and 8 and an embedding four times as wide, as is usual where the noise level is all that
    the network receives; rate, warm-up, batch, length, betas and EMA are those of its upscalers. Sampling is clipped to
    the range of images, for nothing else holds it there.
    """
    return Config(
        network=BigGANConfig(
            condition="none", width=128, multipliers=(1, 2, 4, 4), blocks=3, attention=(2, 3), features=512, dropout=0.1
        ),
        data=DataConfig(scale=1, crop=64, augment="flip"),
        sampling=SamplingConfig(sampler="ancestral", steps=250, correct=False),
    )


def imagenet_64() -> Config:
    """Return a class-conditional generator of 64x64 ImageNet, first stage of the paper's cascade to 256.

    Open in the paper, and chosen as for `faces_64`, betas, EMA and clipping too; wider, as in CDM (arXiv:2106.15282),
    the embedding with it. A tenth of the classes is hidden, for guidance, which the paper does not have and which is
    off.
    """
    return Config(
        network=BigGANConfig(
            condition="none",
            classes=1000,
            width=192,
            multipliers=(1, 2, 3, 4),
            blocks=3,
            attention=(2, 3),
            features=768,
            dropout=0.1,
        ),
        data=DataConfig(scale=1, crop=64, augment="flip", class_dropout=0.1),
        sampling=SamplingConfig(sampler="ancestral", steps=250, correct=False),
    )
