"""Settings of the model: network, levels, meaning of the network's output."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr3.config.strict import NonNegative, Settings

__all__ = ["DenoiserConfig", "NetworkConfig", "ScheduleConfig"]

_OF_U_NETS = (
    "multipliers",
    "attention",
    "head_width",
    "features",
    "dropout",
    "stem",
    "condition",
    "condition_level",
    "guide",
    "classes",
    "checkpointing",
)


class NetworkConfig(Settings):
    """The U-Net (section 2.4, Table A.1)."""

    family: Literal["biggan", "ddpm", "fsrcnn", "drcn", "rcan", "enet", "span"] = "biggan"
    """A U-Net with blocks of BigGAN, the paper's, or of DDPM, those of the best-known unofficial implementation
    (`sr3 convert`); or one of the networks that the paper compares itself with, or SPAN, which answer in one call."""
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=4)] = 128
    """Channels of the finest level; of most layers where there are no levels."""
    multipliers: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(max_length=12)] = (1, 2, 4, 8, 8)
    """Width of each level as a multiple of `width`, fine to coarse."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 3
    """Residual blocks: a level; in `rcan` a group; in `enet` and `span` in all. Layers of the mapping in `fsrcnn`,
    recursions in `drcn`."""
    attention: Annotated[tuple[NonNegative, ...], Field(max_length=12)] = ()
    """Levels that attend, 0 the finest. Open in the paper."""
    head_width: Annotated[int, Field(ge=1, le=4096)] = 64
    """Channels of an attention head. Open in the paper. In `ddpm` there is one head of all channels."""
    groups: Annotated[int, Field(ge=1, le=1024)] = 32
    """Groups of the normalisation in `ddpm`; they divide `width`. In `biggan` they follow from the widths. In `rcan`
    groups of residual blocks."""
    inner: Annotated[int, Field(ge=1, le=4096)] = 12
    """Channels inside the mapping of `fsrcnn`, and inside the attention of `rcan`."""
    features: Annotated[int, Field(ge=4, le=65_536)] = 512
    """Width of the noise-level embedding. Open in the paper; DDPM takes four times `width`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of features dropped in training."""
    stem: Literal[1, 2, 4] = 1
    """Side of the pixel blocks folded into channels; 1 is the paper's."""
    condition: Literal["picture", "none"] = "picture"
    """What is seen beside the noisy picture: the enlarged input, or nothing (a generator)."""
    condition_level: bool = False
    """Tell the network how much noise `data.condition_gamma` put on the input (CDM, arXiv:2106.15282)."""
    guide: Annotated[int, Field(ge=0, le=4096)] = 0
    """Channels of features of the mean (`[mean]`) that enter the U-Net at the resolution of the input; 0 for none."""
    classes: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Classes a picture may be labelled with; 0 for a model without classes."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    @property
    def answers_in_one_call(self) -> bool:
        """Whether it is a network that can only be trained to answer the input, by regression."""
        return self.family in ("fsrcnn", "drcn", "rcan", "enet", "span")

    @property
    def sees_low_res(self) -> bool:
        """Whether it is shown the small picture itself beside the enlarged one."""
        return self.family in ("fsrcnn", "rcan", "enet", "span")

    @model_validator(mode="after")
    def _unused_are_left_alone(self) -> "NetworkConfig":
        for name in _OF_U_NETS if self.answers_in_one_call else ():
            if getattr(self, name) != NetworkConfig.model_fields[name].default:
                raise ValueError(
                    f"{name} is a setting of U-Nets and does nothing in family {self.family}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _levels_exist(self) -> "NetworkConfig":
        if not self.multipliers:
            raise ValueError("multipliers must name at least one level")
        beyond = [level for level in self.attention if level >= len(self.multipliers)]
        if beyond:
            raise ValueError(f"attention names level {beyond[0]}, but the levels are 0 to {len(self.multipliers) - 1}")
        if self.answers_in_one_call:
            return self
        if self.family == "ddpm":
            if self.width % self.groups:
                raise ValueError(f"groups {self.groups} does not divide width {self.width}, as family ddpm needs")
            return self
        bottom = len(self.multipliers) - 1
        for level in {*self.attention, bottom} if self.attention else ():
            channels = self.width * self.multipliers[level]
            if channels > self.head_width and channels % self.head_width:
                raise ValueError(
                    f"head_width {self.head_width} does not divide the {channels} channels of level {level}"
                )
        return self


class ScheduleConfig(Settings):
    """The levels seen in training and how they are drawn (section 2.4). Betas are open in the paper."""

    kind: Literal["linear", "cosine"] = "linear"
    """Shape of the betas."""
    num_levels: Annotated[int, Field(ge=2, le=1_000_000)] = 2000
    """T, the number of segments of p(gamma)."""
    beta_first: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """First beta of the linear schedule (Palette, arXiv:2111.05826)."""
    beta_last: Annotated[float, Field(gt=0, lt=1)] = 1e-2
    """Last beta of the linear schedule (same source)."""
    draw: Literal["gamma", "sqrt_gamma"] = "gamma"
    """Where p(gamma) is uniform inside a segment: gamma by the formula, sqrt_gamma by WaveGrad's code."""


class DenoiserConfig(Settings):
    """What the network's output means."""

    prediction: Literal["eps", "v", "y0"] = "eps"
    """What the network estimates."""
    target: Literal["image", "residual"] = "image"
    """Whether the process runs on the picture or on its difference to the upsampled input."""
    target_scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the target, so that its spread is near 1."""
