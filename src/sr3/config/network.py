"""Settings of networks: a union tagged by `family`, in which each variant has only the settings it uses."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import Discriminator, Field, Tag, model_validator

from sr3.config.strict import NonNegative, Settings

__all__ = [
    "FAMILIES",
    "BigGANConfig",
    "DDPMConfig",
    "DRCNConfig",
    "ENetConfig",
    "FSRCNNConfig",
    "NetworkConfig",
    "OneCallConfig",
    "RCANConfig",
    "SPANConfig",
    "UNetConfig",
]

_Width = Annotated[int, Field(ge=8, le=4096, multiple_of=4)]
_Count = Annotated[int, Field(ge=1, le=64)]


class LevelledConfig(Settings):
    """Settings shared by the two U-Nets (section 2.4, Table A.1)."""

    answers_in_one_call: ClassVar[bool] = False
    """Whether the network can only be trained by regression."""
    sees_low_res: ClassVar[bool] = False
    """Whether the network receives the low-resolution image itself besides the upsampled one."""

    width: _Width = 128
    """Channels of the finest level."""
    multipliers: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(max_length=12)] = (1, 2, 4, 8, 8)
    """Width of each level as a multiple of `width`, fine to coarse."""
    blocks: _Count = 3
    """Residual blocks in each level."""
    attention: Annotated[tuple[NonNegative, ...], Field(max_length=12)] = ()
    """Levels with self-attention; 0 is the finest. Not given in the paper."""
    features: Annotated[int, Field(ge=4, le=65_536)] = 512
    """Width of the noise-level embedding. Not given in the paper; DDPM uses four times `width`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout rate before the second convolution of each block."""
    stem: Literal[1, 2, 4] = 1
    """Patch size of the stem (pixel unshuffle); 1, as in the paper, has none."""
    condition: Literal["picture", "none"] = "picture"
    """Conditional input besides the noisy image: the upsampled input, or none for unconditional and class-conditional
    generation."""
    condition_channels: Annotated[int, Field(ge=0, le=4096)] = 0
    """Channels of the conditional input, if they differ from those of the output (`data.degradation` paired); 0 if they
    do not."""
    condition_level: bool = False
    """Condition the network on the level of the noise that `data.condition_gamma` adds to the input (CDM,
    arXiv:2106.15282)."""
    classes: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Number of classes of a class-conditional model; 0 for a model without classes."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    @property
    def size_multiple(self) -> int:
        """Multiple to which the network pads the sides of its input."""
        return self.stem * 2 ** (len(self.multipliers) - 1)

    @property
    def features_per_pixel(self) -> float:
        """Approximate number of features per image pixel held in memory at once, at the finest level."""
        return (self.blocks + 8) * self.width * self.multipliers[0] / self.stem**2

    @model_validator(mode="after")
    def _levels_exist(self) -> "LevelledConfig":
        if not self.multipliers:
            raise ValueError("multipliers must name at least one level")
        beyond = [level for level in self.attention if level >= len(self.multipliers)]
        if beyond:
            raise ValueError(f"attention names level {beyond[0]}, but the levels are 0 to {len(self.multipliers) - 1}")
        if self.condition == "none" and self.condition_channels:
            raise ValueError("condition none has no channels: set condition_channels to 0")
        return self


class BigGANConfig(LevelledConfig):
    """The U-Net of the paper, with BigGAN residual blocks."""

    family: Literal["biggan"] = "biggan"
    """Network family."""
    head_width: Annotated[int, Field(ge=1, le=4096)] = 64
    """Channels per attention head. Not given in the paper. The bottleneck has attention if any level has."""
    guide: Annotated[int, Field(ge=0, le=4096)] = 0
    """Channels of the features of the mean predictor (`[mean]`) that the U-Net receives at the resolution of the input;
    0 for none."""

    @property
    def embedded(self) -> int:
        """Width of the noise-level conditioning that blocks receive."""
        return self.features

    @model_validator(mode="after")
    def _heads_divide(self) -> "BigGANConfig":
        bottom = len(self.multipliers) - 1
        for level in {*self.attention, bottom} if self.attention else ():
            channels = self.width * self.multipliers[level]
            if channels > self.head_width and channels % self.head_width:
                raise ValueError(
                    f"head_width {self.head_width} does not divide the {channels} channels of level {level}; set "
                    "network.head_width to a divisor"
                )
        return self


class DDPMConfig(LevelledConfig):
    """The U-Net with DDPM blocks, as in Janspiry's implementation (`sr3 convert`); attention has a single head."""

    guide: ClassVar[int] = 0
    """This family does not take features of a mean predictor."""

    family: Literal["ddpm"] = "ddpm"
    """Network family."""
    groups: Annotated[int, Field(ge=1, le=1024)] = 32
    """Groups of the group normalisation; must divide `width`."""

    @property
    def embedded(self) -> int:
        """Width of the noise-level conditioning that blocks receive."""
        return self.width

    @model_validator(mode="after")
    def _groups_divide(self) -> "DDPMConfig":
        if self.width % self.groups:
            raise ValueError(
                f"groups {self.groups} does not divide width {self.width}; set network.groups to a divisor of the width"
            )
        return self


UNetConfig: TypeAlias = BigGANConfig | DDPMConfig
"""Either U-Net: networks that receive a noisy image and its noise level."""


class OneCallConfig(Settings):
    """Fixed settings of single-call networks, which receive no noise, noise level, class or mean."""

    answers_in_one_call: ClassVar[bool] = True
    sees_low_res: ClassVar[bool] = True
    condition: ClassVar[Literal["picture"]] = "picture"
    condition_channels: ClassVar[int] = 0
    condition_level: ClassVar[bool] = False
    classes: ClassVar[int] = 0
    guide: ClassVar[int] = 0
    checkpointing: ClassVar[bool] = False


class FSRCNNConfig(OneCallConfig):
    """FSRCNN(d, s, m) (arXiv:1608.00367): a narrow chain of convolutions."""

    family: Literal["fsrcnn"] = "fsrcnn"
    """Network family."""
    width: _Width = 56
    """Channels of the first and the last layers, d."""
    inner: Annotated[int, Field(ge=1, le=4096)] = 12
    """Channels of the mapping layers, s."""
    layers: _Count = 4
    """Number of mapping layers, m."""


class DRCNConfig(OneCallConfig):
    """DRCN (arXiv:1511.04491): one convolution applied recursively to the upsampled image."""

    sees_low_res: ClassVar[bool] = False

    family: Literal["drcn"] = "drcn"
    """Network family."""
    width: _Width = 256
    """Channels of all layers."""
    recursions: _Count = 16
    """Number of times the shared convolution is applied."""


class RCANConfig(OneCallConfig):
    """RCAN (arXiv:1807.02758): groups of residual blocks with channel attention."""

    family: Literal["rcan"] = "rcan"
    """Network family."""
    width: _Width = 64
    """Channels of all layers except those inside the attention."""
    groups: Annotated[int, Field(ge=1, le=1024)] = 10
    """Groups of residual blocks."""
    blocks: _Count = 20
    """Residual blocks in each group."""
    attention_width: Annotated[int, Field(ge=1, le=4096)] = 4
    """Channels inside the attention, `width` / 16 in the paper."""


class ENetConfig(OneCallConfig):
    """The generator of EnhanceNet (arXiv:1612.07919)."""

    family: Literal["enet"] = "enet"
    """Network family."""
    width: _Width = 64
    """Channels of all layers."""
    blocks: _Count = 10
    """Residual blocks."""


class SPANConfig(OneCallConfig):
    """SPAN (arXiv:2311.12770): a fast network with parameter-free attention."""

    family: Literal["span"] = "span"
    """Network family."""
    width: _Width = 48
    """Channels of all layers."""
    blocks: _Count = 6
    """Attention blocks."""


FAMILIES: Mapping[str, type[Settings]] = {
    "biggan": BigGANConfig,
    "ddpm": DDPMConfig,
    "fsrcnn": FSRCNNConfig,
    "drcn": DRCNConfig,
    "rcan": RCANConfig,
    "enet": ENetConfig,
    "span": SPANConfig,
}
"""The settings of each family."""


def _family(value: object) -> str | None:
    """Return the family of a network section; the default is that of the paper."""
    if isinstance(value, Mapping):
        return str(cast(Mapping[str, Any], value).get("family", "biggan"))
    return getattr(value, "family", None)


NetworkConfig: TypeAlias = Annotated[
    Annotated[BigGANConfig, Tag("biggan")]
    | Annotated[DDPMConfig, Tag("ddpm")]
    | Annotated[FSRCNNConfig, Tag("fsrcnn")]
    | Annotated[DRCNConfig, Tag("drcn")]
    | Annotated[RCANConfig, Tag("rcan")]
    | Annotated[ENetConfig, Tag("enet")]
    | Annotated[SPANConfig, Tag("span")],
    Discriminator(
        _family, custom_error_type="unknown_kind", custom_error_message=f"Families are {', '.join(FAMILIES)}"
    ),
]
"""Settings of a network, told apart by `family`."""
