"""Settings of networks, told apart by `family`: each has only those that mean something to it."""

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
    """What the two U-Nets have in common (section 2.4, Table A.1)."""

    answers_in_one_call: ClassVar[bool] = False
    """Whether it can only be trained to answer the input, by regression."""
    sees_low_res: ClassVar[bool] = False
    """Whether it is shown the small picture itself beside the enlarged one."""

    width: _Width = 128
    """Channels of the finest level."""
    multipliers: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(max_length=12)] = (1, 2, 4, 8, 8)
    """Width of each level as a multiple of `width`, fine to coarse."""
    blocks: _Count = 3
    """Residual blocks in each level."""
    attention: Annotated[tuple[NonNegative, ...], Field(max_length=12)] = ()
    """Levels that attend, 0 the finest. Open in the paper."""
    features: Annotated[int, Field(ge=4, le=65_536)] = 512
    """Width of the noise-level embedding. Open in the paper; DDPM takes four times `width`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of features dropped in training, before each block's second convolution."""
    stem: Literal[1, 2, 4] = 1
    """Side of the pixel blocks folded into channels; 1 is the paper's."""
    condition: Literal["picture", "none"] = "picture"
    """What is seen beside the noisy picture: the enlarged input, or nothing (a generator)."""
    condition_channels: Annotated[int, Field(ge=0, le=4096)] = 0
    """Channels of the input, where they are not as many as the result's (`data.degradation` paired); 0 for as many."""
    condition_level: bool = False
    """Tell the network how much noise `data.condition_gamma` put on the input (CDM, arXiv:2106.15282)."""
    classes: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Classes a picture may be labelled with; 0 for a model without classes."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    @property
    def size_multiple(self) -> int:
        """What sides are padded to a multiple of, inside."""
        return self.stem * 2 ** (len(self.multipliers) - 1)

    @property
    def features_a_pixel(self) -> float:
        """About how many features per pixel of the picture are alive at once, those of the finest level."""
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
    """The U-Net of the paper, with residual blocks of BigGAN."""

    family: Literal["biggan"] = "biggan"
    """Which network it is."""
    head_width: Annotated[int, Field(ge=1, le=4096)] = 64
    """Channels of an attention head. Open in the paper. The bottom attends if any level does."""
    guide: Annotated[int, Field(ge=0, le=4096)] = 0
    """Channels of features of the mean (`[mean]`) that enter the U-Net at the resolution of the input; 0 for none."""

    @property
    def embedded(self) -> int:
        """Width of what blocks are told of the noise level."""
        return self.features

    @model_validator(mode="after")
    def _heads_divide(self) -> "BigGANConfig":
        bottom = len(self.multipliers) - 1
        for level in {*self.attention, bottom} if self.attention else ():
            channels = self.width * self.multipliers[level]
            if channels > self.head_width and channels % self.head_width:
                raise ValueError(
                    f"head_width {self.head_width} does not divide the {channels} channels of level {level}"
                )
        return self


class DDPMConfig(LevelledConfig):
    """The U-Net with blocks of DDPM, as Janspiry's implementation has it (`sr3 convert`): one head of all channels."""

    guide: ClassVar[int] = 0
    """It takes no features of a mean."""

    family: Literal["ddpm"] = "ddpm"
    """Which network it is."""
    groups: Annotated[int, Field(ge=1, le=1024)] = 32
    """Groups of the normalisation; they divide `width`."""

    @property
    def embedded(self) -> int:
        """Width of what blocks are told of the noise level."""
        return self.width

    @model_validator(mode="after")
    def _groups_divide(self) -> "DDPMConfig":
        if self.width % self.groups:
            raise ValueError(f"groups {self.groups} does not divide width {self.width}, as family ddpm needs")
        return self


UNetConfig: TypeAlias = BigGANConfig | DDPMConfig
"""Either U-Net: networks that see a noisy picture and its level."""


class OneCallConfig(Settings):
    """What is fixed in networks that answer the input in one call: they see neither noise, level, class nor mean."""

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
    """Which network it is."""
    width: _Width = 56
    """Channels of the first and the last layers, d."""
    inner: Annotated[int, Field(ge=1, le=4096)] = 12
    """Channels inside the mapping, s."""
    layers: _Count = 4
    """Layers of the mapping, m."""


class DRCNConfig(OneCallConfig):
    """DRCN (arXiv:1511.04491): one convolution applied again and again to the enlarged picture."""

    sees_low_res: ClassVar[bool] = False

    family: Literal["drcn"] = "drcn"
    """Which network it is."""
    width: _Width = 256
    """Channels of all layers."""
    recursions: _Count = 16
    """How often the one convolution is applied."""


class RCANConfig(OneCallConfig):
    """RCAN (arXiv:1807.02758): groups of residual blocks with channel attention."""

    family: Literal["rcan"] = "rcan"
    """Which network it is."""
    width: _Width = 64
    """Channels of all layers but those inside the attention."""
    groups: Annotated[int, Field(ge=1, le=1024)] = 10
    """Groups of residual blocks."""
    blocks: _Count = 20
    """Residual blocks in each group."""
    attention_width: Annotated[int, Field(ge=1, le=4096)] = 4
    """Channels inside the attention, `width` / 16 in the paper."""


class ENetConfig(OneCallConfig):
    """The generator of EnhanceNet (arXiv:1612.07919)."""

    family: Literal["enet"] = "enet"
    """Which network it is."""
    width: _Width = 64
    """Channels of all layers."""
    blocks: _Count = 10
    """Residual blocks."""


class SPANConfig(OneCallConfig):
    """SPAN (arXiv:2311.12770): a fast network with attention that has no parameters."""

    family: Literal["span"] = "span"
    """Which network it is."""
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
    """Tell which network a section describes; the paper's where it does not say."""
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
