"""The U-Net of SR3: from the upsampled input x, y_t and the noise level to an output of y_t's shape.

Source: SR3, arXiv:2104.07636, section 2.4 and appendix A: the U-Net of DDPM with BigGAN residual blocks, sums
scaled by 1/sqrt(2), x concatenated with y_t. Beyond the paper: a patch stem (space to depth) for small machines, and
DDPM's own blocks, so that weights of Janspiry's implementation can be used.
It does not know what its output means, nor where gamma comes from.
"""

from collections.abc import Callable
from typing import assert_never, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sr3.config import BigGANConfig, DDPMConfig, UNetConfig
from sr3.networks.blocks import Attention, Resampling, ResidualBlock, group_norm, may_overwrite, zero_init
from sr3.networks.ddpm import OneHeadAttention, PlainLevelEmbedding, PlainResampling, ShiftedBlock
from sr3.networks.embedding import ClassEmbedding, NoiseLevelEmbedding
from sr3.types import Condition, Gamma, Image

__all__ = ["NONE", "Stage", "UNet"]

NONE = torch.empty(0, dtype=torch.float64)
"""Labels or levels that are not given."""


Block = ResidualBlock | ShiftedBlock | PlainResampling


class Stage(nn.Module):
    """A residual block, followed by attention at the levels that have it."""

    def __init__(self, block: Block, attention: Attention | OneHeadAttention | None = None) -> None:
        """Put a block and its attention together."""
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Apply the residual block, then attention."""
        image = self.block(image, embedding)
        return image if self.attention is None else self.attention(image)


class UNet(nn.Module):
    """f(x, y_t, gamma) of SR3, section 2.4.

    image_channels: channels of the image, any number. size_multiple: sides are padded to a multiple of it.
    features_per_pixel: approximate number of features per pixel held in memory at once. guide_level: level at which the
    features of the mean predictor enter.
    """

    def __init__(self, config: UNetConfig, *, image_channels: int, scale: int = 1) -> None:
        """Lay out the levels from fine to coarse and back. scale: magnification, which only places the guide."""
        super().__init__()
        self.config, self.image_channels = config, image_channels
        self.condition_channels = (config.condition_channels or image_channels) if config.condition != "none" else 0
        self.size_multiple, self.features_per_pixel = config.size_multiple, config.features_per_pixel
        self.guide_level = (scale // config.stem).bit_length() - 1 if config.guide else 0
        pixels, seen = image_channels * config.stem**2, self.condition_channels * config.stem**2
        embedding = NoiseLevelEmbedding if config.family == "biggan" else PlainLevelEmbedding
        self.embedding = embedding(config.width, config.features)
        if config.classes:
            self.class_embedding = ClassEmbedding(config.classes, config.embedded)
        if config.condition_level:
            self.condition_embedding = embedding(config.width, config.features)
        self.head = nn.Conv2d(seen + pixels, config.width, 3, padding=1)
        if config.guide:
            into = config.width * config.multipliers[max(0, self.guide_level - 1)]
            self.guide = zero_init(nn.Conv2d(config.guide, into, 3, padding=1))
        skips = [config.width]
        self.down = nn.ModuleList(self._down_stages(skips))
        widest = skips[-1]
        self.middle = nn.ModuleList(
            [
                self._stage(widest, widest, attends=bool(config.attention) or config.family == "ddpm"),
                self._stage(widest, widest, attends=False),
            ]
        )
        self.up = nn.ModuleList(self._up_stages(skips))
        finest = config.width * config.multipliers[0]
        self.norm = nn.GroupNorm(config.groups, finest) if isinstance(config, DDPMConfig) else group_norm(finest)
        self.tail = zero_init(nn.Conv2d(finest, pixels, 3, padding=1))

    def _stage(self, width_in: int, width_out: int, *, attends: bool, resampling: Resampling = "none") -> Stage:
        config = self.config
        match config:
            case BigGANConfig():
                block = ResidualBlock(
                    width_in, width_out, features=config.features, dropout=config.dropout, resampling=resampling
                )
                return Stage(block, Attention(width_out, head_width=config.head_width) if attends else None)
            case DDPMConfig():
                if resampling != "none":
                    return Stage(PlainResampling(width_out, resampling))
                block = ShiftedBlock(
                    width_in, width_out, features=config.embedded, dropout=config.dropout, groups=config.groups
                )
                return Stage(block, OneHeadAttention(width_out, groups=config.groups) if attends else None)
            case _:
                assert_never(config)

    def _down_stages(self, skips: list[int]) -> list[Stage]:
        """Build the way down; every output's width is noted in skips."""
        config, stages = self.config, list[Stage]()
        for level, multiplier in enumerate(config.multipliers):
            for _ in range(config.blocks):
                stages.append(self._stage(skips[-1], config.width * multiplier, attends=level in config.attention))
                skips.append(config.width * multiplier)
            if level + 1 < len(config.multipliers):
                stages.append(self._stage(skips[-1], skips[-1], attends=False, resampling="down"))
                skips.append(skips[-1])
        return stages

    def _up_stages(self, skips: list[int]) -> list[Stage]:
        """Build the way up; every stage but the doubling ones takes one skip, last noted first."""
        config, stages, width, skips = self.config, list[Stage](), skips[-1], list(skips)
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            for _ in range(config.blocks + 1):
                attends = level in config.attention
                stages.append(self._stage(width + skips.pop(), config.width * multiplier, attends=attends))
                width = config.width * multiplier
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
        """Estimate from y_t at level gamma and the condition x; all images (b, c, h, w), any h and w.

        x: of 0 channels for a generator. labels: classes (b,) int64; empty, or the number of classes, for no class.
        levels: the level to which the condition was noised, (b,) float64; empty for a clean one.
        features: of the mean predictor, (b, guide, h / scale, w / scale), for a network with `network.guide`.
        Sides are padded to the network's multiple by repeating the border, and the result is cropped.
        """
        height, width = y_t.shape[-2:]
        multiple = self.size_multiple
        both = torch.cat([x, y_t], dim=1)
        padding = (0, -width % multiple, 0, -height % multiple)
        if any(padding):
            both = functional.pad(both, padding, mode="replicate")
        embedding = self._embed(gamma, labels, levels)
        guide = None
        if self.config.guide:
            if any(padding):
                scale = self.config.stem * 2**self.guide_level
                features = functional.pad(features, [-(-side // scale) for side in padding], mode="replicate")
            guide = self.guide(features)
        out = self._inner(functional.pixel_unshuffle(both, self.config.stem), embedding, guide)
        return functional.pixel_shuffle(out, self.config.stem)[..., :height, :width]

    def _embed(self, gamma: Gamma, labels: Tensor, levels: Tensor) -> Tensor:
        embedding = self.embedding(gamma)
        if self.config.classes:
            none = torch.full((len(gamma),), self.class_embedding.no_class)
            embedding = embedding + self.class_embedding(labels if len(labels) else none)
        if self.config.condition_level:
            embedding = embedding + self.condition_embedding(levels if len(levels) else torch.ones_like(gamma))
        return embedding

    def _inner(self, image: Tensor, embedding: Tensor, guide: Tensor | None) -> Tensor:
        hidden = self.head(image)
        level = 0
        if guide is not None and self.guide_level == level:
            hidden = hidden + guide
        skips = [hidden]
        for stage in self.down:
            hidden = self._run(stage, hidden, embedding)
            if cast(Stage, stage).block.resampling == "down":
                level += 1
                if guide is not None and self.guide_level == level:
                    hidden = hidden + guide
            skips.append(hidden)
        for stage in self.middle:
            hidden = self._run(stage, hidden, embedding)
        for stage in self.up:
            doubles = cast(Stage, stage).block.resampling == "up"
            hidden = self._run(stage, hidden if doubles else torch.cat([hidden, skips.pop()], dim=1), embedding)
        return self.tail(functional.silu(self.norm(hidden), inplace=may_overwrite()))

    def _run(self, stage: Callable[[Tensor, Tensor], Tensor], image: Tensor, embedding: Tensor) -> Tensor:
        if self.config.checkpointing and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(stage, image, embedding, use_reentrant=False))
        return stage(image, embedding)
