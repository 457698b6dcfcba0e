"""SR3 (arXiv:2104.07636): a U-Net called one to four times from fixed noise, and its small mean network.

From https://pypi.org/project/sr3, Apache-2.0, for inference only. Settings are the dictionary that the state dict has
as JSON under `sr3_settings`. Numbers of equations are those of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SETTINGS = "sr3_settings"


def group_norm(width: int) -> nn.GroupNorm:
    """Normalise groups of at least four channels, at most 32 groups."""
    groups = min(32, width // 4)
    while width % groups:
        groups -= 1
    return nn.GroupNorm(groups, width)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, with the noise level as an affine between them."""

    def __init__(self, width_in: int, width_out: int, features: int, resampling: str) -> None:
        """Take (b, width_in, h, w) to (b, width_out, h', w'); resampling: none, up or down."""
        super().__init__()
        self.resampling = resampling
        self.norm_in = group_norm(width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.affine = nn.Linear(features, 2 * width_out)
        self.norm_out = group_norm(width_out)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.shortcut = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def resample(self, image: Tensor) -> Tensor:
        """Halve by 2x2 means, double by repetition, or leave alone."""
        if self.resampling == "up":
            return F.interpolate(image, scale_factor=2.0, mode="nearest")
        return F.avg_pool2d(image, 2) if self.resampling == "down" else image

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Refine features (b, width_in, h, w) at a level embedded as (b, features)."""
        hidden = self.conv_in(self.resample(F.silu(self.norm_in(image))))
        scale, shift = self.affine(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_out(F.silu(self.norm_out(hidden) * (1 + scale) + shift))
        return (self.shortcut(self.resample(image)) + hidden) / math.sqrt(2)


class Attention(nn.Module):
    """Self-attention over all places beside a shortcut."""

    def __init__(self, width: int, head_width: int) -> None:
        """Attend by heads of head_width channels."""
        super().__init__()
        self.heads = max(1, width // head_width)
        self.norm = group_norm(width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Mix all places of (b, c, h, w)."""
        b, c, h, w = image.shape
        qkv = self.qkv(self.norm(image)).reshape(b, 3, self.heads, c // self.heads, h * w)
        query, key, value = qkv.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2).reshape(b, c, h, w)
        return (image + self.out(mixed)) / math.sqrt(2)


class Stage(nn.Module):
    """A residual block, with attention after it where the level asks for it."""

    def __init__(self, block: ResidualBlock, attention: Attention | None) -> None:
        """Put a block and its attention together."""
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Refine, then mix."""
        image = self.block(image, embedding)
        return image if self.attention is None else self.attention(image)


class LevelEmbedding(nn.Module):
    """Sinusoids of 5000 sqrt(gamma) through two layers (WaveGrad, arXiv:2009.00713, section 3.1)."""

    def __init__(self, width: int, features: int) -> None:
        """Take width sinusoids to a number of features."""
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU())

    def forward(self, gamma: float, count: int) -> Tensor:
        """Embed one level for count images."""
        half = self.width // 2
        phase = 5000.0 * math.sqrt(gamma) * torch.exp(-math.log(1e4) * torch.arange(half, dtype=torch.float64) / half)
        waves = torch.cat([phase.sin(), phase.cos()]).expand(count, -1)
        return self.layers(waves.to(next(self.parameters())))


class SPAB(nn.Module):
    """Three convolutions and a parameter-free attention (SPAN, arXiv:2311.12770, Eq. 3 to 6)."""

    def __init__(self, width: int) -> None:
        """Lay out three convolutions of one width."""
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output, and the features after its first layer."""
        first = F.silu(self.convs[0](image))
        last = self.convs[2](F.silu(self.convs[1](first)))
        return (last + image) * (torch.sigmoid(last) - 0.5), first


class Mean(nn.Module):
    """SPAN: the mean that the U-Net refines."""

    def __init__(self, channels: int, width: int, blocks: int, scale: int) -> None:
        """Lay out the convolutions."""
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(SPAB(width) for _ in range(blocks))
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.join = nn.Conv2d(4 * width, width, 1)
        self.tail = nn.Conv2d(width, channels * scale**2, 3, padding=1)

    def forward(self, low_res: Tensor) -> tuple[Tensor, Tensor]:
        """Enlarge (b, c, h, w) in [-1, 1]; returns the image and its features (b, width, h, w)."""
        colour = (0.4488, 0.4371, 0.4040)
        values = colour if low_res.shape[1] == 3 else (sum(colour) / 3,) * low_res.shape[1]
        unit = (low_res + 1) / 2 - low_res.new_tensor(values)[:, None, None]
        start = hidden = self.head(unit * 255.0)
        after_first = first_layer = start
        for number, block in enumerate(self.blocks):
            hidden, first_layer = block(hidden)
            after_first = hidden if number == 0 else after_first
        features = self.join(torch.cat([start, self.after(hidden), after_first, first_layer], dim=1))
        return (F.pixel_shuffle(self.tail(features), self.scale) * 2 - 1).clamp(-1, 1), features


class SR3(nn.Module):
    """The U-Net with its walk from noise to the image: (b, c, h, w) in [0, 1] to (b, c, s h, s w) in [0, 1]."""

    mean: Mean | None

    def __init__(self, settings: dict[str, Any], packed: Tensor) -> None:
        """Lay out the levels of the U-Net from fine to coarse and back. packed: the settings as a tensor."""
        super().__init__()
        config = settings["config"]
        self.network, self.scale = config["network"], int(config["data"]["scale"])
        self.meaning, self.sampling = config["denoiser"], config["sampling"]
        self.levels, self.noise_seed = settings["levels"], int(settings["noise_seed"])
        self.channels = channels = int(settings["image_channels"])
        self.register_buffer(SETTINGS, packed)
        width, stem, features = (int(self.network[name]) for name in ("width", "stem", "features"))
        multipliers, blocks = self.network["multipliers"], int(self.network["blocks"])
        self.guide_width = int(self.network["guide"])
        self.guide_level = (self.scale // stem).bit_length() - 1
        self.multiple = stem * 2 ** (len(multipliers) - 1)

        def stage(width_in: int, width_out: int, attends: bool, resampling: str = "none") -> Stage:
            attention = Attention(width_out, int(self.network["head_width"])) if attends else None
            return Stage(ResidualBlock(width_in, width_out, features, resampling), attention)

        self.embedding = LevelEmbedding(width, features)
        self.head = nn.Conv2d(2 * channels * stem**2, width, 3, padding=1)
        if self.guide_width:
            into = width * multipliers[max(0, self.guide_level - 1)]
            self.guide = nn.Conv2d(self.guide_width, into, 3, padding=1)
        skips, down = [width], list[Stage]()
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                down.append(stage(skips[-1], width * multiplier, level in self.network["attention"]))
                skips.append(width * multiplier)
            if level + 1 < len(multipliers):
                down.append(stage(skips[-1], skips[-1], False, "down"))
                skips.append(skips[-1])
        self.down = nn.ModuleList(down)
        now = skips[-1]
        self.middle = nn.ModuleList([stage(now, now, bool(self.network["attention"])), stage(now, now, False)])
        up = list[Stage]()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                up.append(stage(now + skips.pop(), width * multiplier, level in self.network["attention"]))
                now = width * multiplier
            if level > 0:
                up.append(stage(now, now, False, "up"))
        self.up = nn.ModuleList(up)
        self.norm = group_norm(now)
        self.tail = nn.Conv2d(now, channels * stem**2, 3, padding=1)
        mean = config.get("mean")
        self.shows_mean = mean is not None and mean["condition"] == "mean"
        if mean is None:
            self.mean = None
        else:
            self.mean = Mean(channels, int(mean["network"]["width"]), int(mean["network"]["blocks"]), self.scale)

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge images by the same noise every time."""
        low_res = image * 2 - 1
        height, width = (side * self.scale for side in low_res.shape[-2:])
        x, mean, features = resize(low_res, height, width), None, None
        if self.mean is not None:
            mean, features = self.mean(low_res)
            x = mean if self.shows_mean else x
        generator = torch.Generator().manual_seed(self.noise_seed)

        def draw() -> Tensor:
            noise = torch.empty(self.channels, height, width).normal_(generator=generator)
            return noise.to(x).expand_as(x)

        y = draw()
        if self.sampling["start"] == "mean":
            assert mean is not None
            gamma = self.levels[0]
            y = math.sqrt(gamma) * self.encode(mean, x) + math.sqrt(1 - gamma) * y
        y = self.walk(y, x, features, draw)
        large = self.decode(y, x).clamp(-1, 1)
        if mean is not None and self.sampling["flat_detail"] < 1:
            large = mean + (large - mean) * (1 - (1 - self.sampling["flat_detail"]) * flatness(mean))
        if self.sampling["correct"]:
            large = match_low_frequencies(large, low_res, int(self.sampling["correct_cell"]))
        return (large + 1) / 2

    def walk(self, y: Tensor, x: Tensor, features: Tensor | None, draw: Callable[[], Tensor]) -> Tensor:
        """Walk to a clean state by DDIM (arXiv:2010.02502, Eq. 12) or DPM-Solver++(2M) (arXiv:2211.01095)."""
        if self.sampling["sampler"] == "regression":
            return self.predict(torch.zeros_like(y), x, 0.0, features)[0]
        before, width_before = None, 1.0
        for gamma, following in zip(self.levels, self.levels[1:]):
            y0, eps = self.predict(y, x, gamma, features)
            if following == 1:
                return y0
            if self.sampling["sampler"] == "dpmpp-2m":
                width = math.log(following / (1 - following)) - math.log(gamma / (1 - gamma))
                ahead = y0 if before is None else y0 + (y0 - before) * (width / (2 * width_before))
                before, width_before = y0, width
                y0, eps = ahead, (y - math.sqrt(gamma) * ahead) / math.sqrt(1 - gamma)
            added = self.sampling["eta"] ** 2 * (1 - following) * (1 - gamma / following) / (1 - gamma)
            y = math.sqrt(following) * y0 + math.sqrt(1 - following - added) * eps
            if added > 0:
                y = y + math.sqrt(added) * draw()
        return y

    def predict(self, y: Tensor, x: Tensor, gamma: float, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """Call the network and read its output as the clean state and the noise."""
        output, signal, noise = self.unet(y, x, gamma, features), math.sqrt(gamma), math.sqrt(1 - gamma)
        prediction = self.meaning["prediction"]
        if prediction == "eps":
            y0, eps = (y - noise * output) / signal, output
        elif prediction == "v":
            y0, eps = signal * y - noise * output, noise * y + signal * output
        else:
            y0, eps = output, (y - signal * output) / noise
        if self.sampling["clip"]:
            y0 = self.encode(self.decode(y0, x).clamp(-1, 1), x)
            eps = (y - signal * y0) / noise
        return y0, eps

    def unet(self, y: Tensor, x: Tensor, gamma: float, features: Tensor | None) -> Tensor:
        """Call the U-Net on sides padded to its multiple."""
        (height, width), stem = y.shape[-2:], int(self.network["stem"])
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        both = F.pad(torch.cat([x, y], dim=1), padding, mode="replicate")
        guide = None
        if self.guide_width:
            assert features is not None
            around = [-(-side // (stem * 2**self.guide_level)) for side in padding]
            guide = self.guide(F.pad(features, around, mode="replicate"))
        embedding = self.embedding(gamma, len(y))
        hidden, level = self.head(F.pixel_unshuffle(both, stem)), 0
        if guide is not None and self.guide_level == 0:
            hidden = hidden + guide
        skips = [hidden]
        for stage in self.down:
            hidden = stage(hidden, embedding)
            if stage.block.resampling == "down":
                level += 1
                if guide is not None and self.guide_level == level:
                    hidden = hidden + guide
            skips.append(hidden)
        for stage in self.middle:
            hidden = stage(hidden, embedding)
        for stage in self.up:
            doubles = stage.block.resampling == "up"
            hidden = stage(hidden if doubles else torch.cat([hidden, skips.pop()], dim=1), embedding)
        return F.pixel_shuffle(self.tail(F.silu(self.norm(hidden))), stem)[..., :height, :width]

    def encode(self, image: Tensor, x: Tensor) -> Tensor:
        """Turn an image in [-1, 1] into a clean state."""
        return (image - x if self.meaning["target"] == "residual" else image) * self.meaning["target_scale"]

    def decode(self, state: Tensor, x: Tensor) -> Tensor:
        """Turn a clean state into an image."""
        image = state / self.meaning["target_scale"]
        return image + x if self.meaning["target"] == "residual" else image


def flatness(image: Tensor) -> Tensor:
    """Say how flat an image in [-1, 1] is around each pixel, from 1 to 0: (b, 1, h, w)."""
    mode = "reflect" if min(image.shape[-2:]) > 8 else "replicate"

    def blur(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(F.pad(values, (8, 8, 8, 8), mode=mode), (17, 1), 1), (1, 17), 1)

    levels = image * 127.5
    variance = (blur(levels.square()) - blur(levels).square()).clamp(min=0)
    return (1 + variance.amax(1, keepdim=True) / 2.5**2) ** -2


def match_low_frequencies(image: Tensor, low_res: Tensor, cell: int) -> Tensor:
    """Correct an image so that reducing it gives low_res, by eight rounds of back-projection."""
    small = [-(-side // cell) for side in low_res.shape[-2:]]
    low_res = low_res if cell == 1 else resize(low_res, *small)
    for _ in range(8):
        image = (image + resize(low_res - resize(image, *small), *image.shape[-2:])).clamp(-1, 1)
    return image


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize (b, c, h, w) by antialiased bicubic interpolation, a = -0.5."""
    for dim, size in ((-1, width), (-2, height)):
        if image.shape[dim] != size:
            index, weight = taps(image.shape[dim], size)
            shape = (-1, 1) if dim == -2 else (-1,)
            parts = zip(index.to(image.device).unbind(1), weight.to(image).unbind(1))
            image = torch.stack([image.index_select(dim, i) * w.reshape(shape) for i, w in parts]).sum(0)
    return image


@lru_cache(maxsize=64)
def taps(size_in: int, size_out: int) -> tuple[Tensor, Tensor]:
    """Return which inputs each output reads and with what weight: (size_out, taps), indices and float64."""
    ratio = size_in / size_out
    stretch = max(ratio, 1.0)
    centre = (torch.arange(size_out, dtype=torch.float64) + 0.5) * ratio
    first = (centre - 2 * stretch + 0.5).floor().clamp(min=0).long()
    beyond = (centre + 2 * stretch + 0.5).floor().clamp(max=size_in).long()
    index = first[:, None] + torch.arange(int((beyond - first).max()))
    d = ((index + 0.5 - centre[:, None]) / stretch).abs()
    near, far = (1.5 * d - 2.5) * d**2 + 1, -0.5 * (((d - 5) * d + 8) * d - 4)
    weight = torch.where(d < 1, near, torch.where(d < 2, far, 0.0))
    weight = torch.where(index < beyond[:, None], weight, 0.0)
    return index.clamp(max=size_in - 1), weight / weight.sum(1, keepdim=True)
