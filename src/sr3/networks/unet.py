"""The U-Net of SR3: from the upsampled input x, y_t and the noise level to an output of y_t's shape.

Source: SR3, arXiv:2104.07636, section 2.4 and appendix A: the U-Net of DDPM with BigGAN residual blocks, sums
scaled by 1/sqrt(2), x concatenated with y_t. Beyond the paper: a patch stem (space to depth) for small machines, and
DDPM's own blocks, so that weights of the best-known unofficial implementation can be used.
It does not know what its output means, nor where gamma comes from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sr3.networks.blocks import Attention, Resampling, ResidualBlock, group_norm, zero_init
from sr3.networks.ddpm import OneHeadAttention, PlainLevelEmbedding, PlainResampling, ShiftedBlock
from sr3.networks.embedding import ClassEmbedding, NoiseLevelEmbedding
from sr3.types import Condition, Gamma, Image

__all__ = ["NONE", "Family", "Stage", "UNet", "UNetShape"]

Family = Literal["biggan", "ddpm"]

NONE = torch.empty(0, dtype=torch.float64)
"""Labels or levels that are not given."""


@dataclass(frozen=True, kw_only=True)
class UNetShape:
    """Sizes of the U-Net.

    family: blocks of BigGAN (the paper), or of DDPM.
    image_channels: channels of the picture, any number.
    condition: what is seen beside y_t: the enlarged input (SR3), or nothing (a generator).
    condition_level: whether the noise added to the condition is told, as in cascades (arXiv:2106.15282).
    classes: number of classes a label may name; 0 for none.
    width, multipliers, blocks: width of the finest level, factors of the levels, residual blocks a level.
    attention: levels (0 is the finest) whose blocks attend; the bottom attends if any level does, in `ddpm` always.
    head_width: channels of an attention head; in `ddpm` there is one head of all channels.
    groups: of the normalisation in `ddpm`; they divide width.
    features: width of the noise-level embedding.
    dropout: share of features dropped in training, before each block's second convolution.
    stem: side of the pixel blocks folded into channels at the start: 1 (the paper), 2 or 4.
    guide: channels of features of a mean that enter after the halving to guide_level; 0 for none.
    checkpointing: recompute activations in the backward pass: less memory, more time.
    """

    family: Family = "biggan"
    image_channels: int
    condition: Literal["picture", "none"] = "picture"
    condition_level: bool = False
    classes: int = 0
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...] = ()
    head_width: int = 64
    groups: int = 32
    features: int
    dropout: float = 0.0
    stem: Literal[1, 2, 4] = 1
    guide: int = 0
    guide_level: int = 0
    checkpointing: bool = False

    @property
    def embedded(self) -> int:
        """Width of what blocks are told of the noise level."""
        return self.features if self.family == "biggan" else self.width

    @property
    def size_multiple(self) -> int:
        """What sides are padded to a multiple of, inside."""
        return self.stem * 2 ** (len(self.multipliers) - 1)

    @property
    def features_a_pixel(self) -> float:
        """About how many features a pixel of the picture are alive at once, those of the finest level."""
        return (self.blocks + 8) * self.width * self.multipliers[0] / self.stem**2


Block = ResidualBlock | ShiftedBlock | PlainResampling


class Stage(nn.Module):
    """A residual block, with attention after it where the level asks for it."""

    def __init__(self, block: Block, attention: Attention | OneHeadAttention | None = None) -> None:
        """Put a block and its attention together."""
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Refine, then mix."""
        image = self.block(image, embedding)
        return image if self.attention is None else self.attention(image)


class UNet(nn.Module):
    """f(x, y_t, gamma) of SR3, section 2.4."""

    def __init__(self, shape: UNetShape) -> None:
        """Lay out the levels from fine to coarse and back."""
        super().__init__()
        self.shape = shape
        pixels = shape.image_channels * shape.stem**2
        embedding = NoiseLevelEmbedding if shape.family == "biggan" else PlainLevelEmbedding
        self.embedding = embedding(shape.width, shape.features)
        if shape.classes:
            self.class_embedding = ClassEmbedding(shape.classes, shape.embedded)
        if shape.condition_level:
            self.condition_embedding = embedding(shape.width, shape.features)
        pictures = 2 if shape.condition == "picture" else 1
        self.head = nn.Conv2d(pictures * pixels, shape.width, 3, padding=1)
        if shape.guide:
            into = shape.width * shape.multipliers[max(0, shape.guide_level - 1)]
            self.guide = zero_init(nn.Conv2d(shape.guide, into, 3, padding=1))
        skips = [shape.width]
        self.down = nn.ModuleList(self._down_stages(skips))
        widest = skips[-1]
        self.middle = nn.ModuleList(
            [
                self._stage(widest, widest, attends=bool(shape.attention) or shape.family == "ddpm"),
                self._stage(widest, widest, attends=False),
            ]
        )
        self.up = nn.ModuleList(self._up_stages(skips))
        finest = shape.width * shape.multipliers[0]
        self.norm = group_norm(finest) if shape.family == "biggan" else nn.GroupNorm(shape.groups, finest)
        self.tail = zero_init(nn.Conv2d(finest, pixels, 3, padding=1))

    def _stage(self, width_in: int, width_out: int, *, attends: bool, resampling: Resampling = "none") -> Stage:
        shape = self.shape
        match shape.family:
            case "biggan":
                block = ResidualBlock(
                    width_in, width_out, features=shape.features, dropout=shape.dropout, resampling=resampling
                )
                return Stage(block, Attention(width_out, head_width=shape.head_width) if attends else None)
            case "ddpm":
                if resampling != "none":
                    return Stage(PlainResampling(width_out, resampling))
                block = ShiftedBlock(
                    width_in, width_out, features=shape.embedded, dropout=shape.dropout, groups=shape.groups
                )
                return Stage(block, OneHeadAttention(width_out, groups=shape.groups) if attends else None)
            case _:
                assert_never(shape.family)

    def _down_stages(self, skips: list[int]) -> list[Stage]:
        """Build the way down; every output's width is noted in skips."""
        shape, stages = self.shape, list[Stage]()
        for level, multiplier in enumerate(shape.multipliers):
            for _ in range(shape.blocks):
                stages.append(self._stage(skips[-1], shape.width * multiplier, attends=level in shape.attention))
                skips.append(shape.width * multiplier)
            if level + 1 < len(shape.multipliers):
                stages.append(self._stage(skips[-1], skips[-1], attends=False, resampling="down"))
                skips.append(skips[-1])
        return stages

    def _up_stages(self, skips: list[int]) -> list[Stage]:
        """Build the way up; every stage but the doubling ones takes one skip, last noted first."""
        shape, stages, width, skips = self.shape, list[Stage](), skips[-1], list(skips)
        for level, multiplier in reversed(list(enumerate(shape.multipliers))):
            for _ in range(shape.blocks + 1):
                attends = level in shape.attention
                stages.append(self._stage(width + skips.pop(), shape.width * multiplier, attends=attends))
                width = shape.width * multiplier
            if level > 0:
                stages.append(self._stage(width, width, attends=False, resampling="up"))
        return stages

    def forward(
        self,
        x: Condition,
        y_t: Image,
        gamma: Gamma,
        labels: Tensor = NONE,
        levels: Tensor = NONE,
        features: Tensor = NONE,
    ) -> Tensor:
        """Estimate from y_t at level gamma and the condition x; all pictures (b, c, h, w), any h and w.

        x: of 0 channels for a generator. labels: classes (b,) int64; empty, or the number of classes, for no class.
        levels: the level to which the condition was noised, (b,) float64; empty for a clean one.
        features: of the mean, (b, guide, h / scale, w / scale), for a network with a guide.
        Sides are padded to the network's multiple by repeating the border, and the result is cropped.
        """
        height, width = y_t.shape[-2:]
        multiple = self.shape.size_multiple
        both = torch.cat([x, y_t], dim=1)
        padding = (0, -width % multiple, 0, -height % multiple)
        if any(padding):
            both = functional.pad(both, padding, mode="replicate")
        embedding = self._embed(gamma, labels, levels)
        guide = None
        if self.shape.guide:
            if any(padding):
                scale = self.shape.stem * 2**self.shape.guide_level
                features = functional.pad(features, [-(-side // scale) for side in padding], mode="replicate")
            guide = self.guide(features)
        out = self._inner(functional.pixel_unshuffle(both, self.shape.stem), embedding, guide)
        return functional.pixel_shuffle(out, self.shape.stem)[..., :height, :width]

    def _embed(self, gamma: Gamma, labels: Tensor, levels: Tensor) -> Tensor:
        embedding = self.embedding(gamma)
        if self.shape.classes:
            none = torch.full((len(gamma),), self.class_embedding.no_class)
            embedding = embedding + self.class_embedding(labels if len(labels) else none)
        if self.shape.condition_level:
            embedding = embedding + self.condition_embedding(levels if len(levels) else torch.ones_like(gamma))
        return embedding

    def _inner(self, image: Tensor, embedding: Tensor, guide: Tensor | None) -> Tensor:
        hidden = self.head(image)
        level = 0
        if guide is not None and self.shape.guide_level == level:
            hidden = hidden + guide
        skips = [hidden]
        for stage in self.down:
            hidden = self._run(stage, hidden, embedding)
            if cast(Stage, stage).block.resampling == "down":
                level += 1
                if guide is not None and self.shape.guide_level == level:
                    hidden = hidden + guide
            skips.append(hidden)
        for stage in self.middle:
            hidden = self._run(stage, hidden, embedding)
        for stage in self.up:
            doubles = cast(Stage, stage).block.resampling == "up"
            hidden = self._run(stage, hidden if doubles else torch.cat([hidden, skips.pop()], dim=1), embedding)
        return self.tail(functional.silu(self.norm(hidden)))

    def _run(self, stage: Callable[[Tensor, Tensor], Tensor], image: Tensor, embedding: Tensor) -> Tensor:
        if self.shape.checkpointing and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(stage, image, embedding, use_reentrant=False))
        return stage(image, embedding)
