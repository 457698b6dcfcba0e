"""Conversion between an image's channels and a model's."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sr3.checkpoint import ModelInfo
from sr3.errors import ImageError
from sr3.images.alpha import fill_transparent
from sr3.images.files import Picture
from sr3.images.resize import resize
from sr3.sampling.upscaler import Upscaler

__all__ = ["blank_result", "check_channels", "to_condition", "to_picture"]


def check_channels(info: ModelInfo) -> None:
    """Raise ImageError for a model whose results have other channels than its inputs."""
    if info.condition_channels != info.image_channels:
        raise ImageError(
            f"the model {info.name} turns {info.condition_channels} channels into {info.image_channels}, which works "
            "only "
            "with tensors; use sr3.sampling.upscaler.Upscaler.upscale"
        )


def to_condition(picture: Picture, upscaler: Upscaler, path: Path | None = None) -> Tensor:
    """Lay an image out in the model's channels, shape (b, c, h, w).

    Grey images are repeated for a colour model; the colours of a colour image are a batch for a grey model.
    Of CMYK a colour model gets cyan, magenta and yellow as one image and black as another, both as light.
    Colours under full transparency are filled from their neighbours first. path: named in an error.
    """
    pixels = picture.pixels if picture.alpha is None else fill_transparent(picture.pixels, picture.alpha)
    expected, found = upscaler.info.image_channels, len(pixels)
    check_channels(upscaler.info)
    if picture.space == "cmyk" and expected == 3:
        return torch.stack([pixels[:3], pixels[3:].expand(3, -1, -1)])
    if found == expected and picture.space != "cmyk":
        return pixels[None]
    if found == 1:
        return pixels.expand(expected, -1, -1)[None]
    if expected == 1:
        return pixels[:, None]
    name = "the image" if path is None else f"{path}:"
    raise ImageError(f"{name} has {found} channels, and the model {upscaler.info.name} {expected}; use another model")


def to_picture(image: Tensor, picture: Picture, ratio: tuple[float, float]) -> Picture:
    """Bring a sample (b, c, h, w) back to the input's channels, with its alpha enlarged and its metadata.

    ratio: how much wider and higher the result is.
    """
    image = image.cpu()
    if picture.space == "cmyk" and image.shape[1] == 3:
        pixels = torch.cat([image[0], image[1].mean(0, keepdim=True)])
    else:
        pixels = image[:, 0] if len(image) > 1 else image[0]
    if len(picture.pixels) == 1 and len(pixels) > 1:
        pixels = pixels.mean(0, keepdim=True)
    alpha = None if picture.alpha is None else resize(picture.alpha, *pixels.shape[-2:]).clamp(0, 1)
    return replace(picture, pixels=pixels, alpha=alpha, metadata=picture.metadata.scaled(*ratio))


def blank_result(picture: Picture, width: int, height: int) -> Picture:
    """Return the result's channels and transparency without its pixels."""
    size = (len(picture.pixels), height, width)
    blank = torch.zeros(1, 1, 1).expand(*size)
    alpha = None if picture.alpha is None else picture.alpha.amin().expand(1, *size[1:])
    return replace(picture, pixels=blank, alpha=alpha)
