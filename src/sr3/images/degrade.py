"""Image degradations: downsampling, blur, noise, JPEG, and a random chain of them.

Works on (c, h, w) in float. Everything random comes from the generator that is given, so the same generator gives the
same image. The file knows no data set and no network.
"""

import io
from typing import Literal, assert_never

import torch
from PIL import Image as PillowImage
from torch import Tensor
from torch.nn import functional

from sr3.images.resize import downsample, resize

__all__ = [
    "Degradation",
    "add_noise",
    "blur_reach",
    "degrade",
    "gaussian_blur",
    "jpeg",
    "sensor_noise",
]

Degradation = Literal["bicubic", "area", "blur", "noise", "jpeg", "photo"]
"""bicubic: antialiased, the paper's. area: means of cells. blur: a Gaussian before bicubic. noise, jpeg: after it.
photo: images as they are found: a few clean, most mild (slight blur, sensor noise, JPEG once or twice), some strong
(second order, as in arXiv:2107.10833)."""

BLUR = (0.2, 3.0)
"""Deviation of `blur` in pixels of the large image."""
NOISE = (0.0, 15.0)
"""Deviation of `noise` in levels of 255."""
QUALITY = (30, 95)
"""Quality of `jpeg`, as Pillow counts it."""
CLEAN_SHARE, MILD_SHARE = 0.1, 0.6
"""Shares of `photo` that are only reduced, and that are degraded mildly; the rest is degraded strongly."""

TRUNCATE = 4.0
"""Half-width of a kernel in standard deviations, rounded up to whole pixels."""


def degrade(high: Tensor, scale: int, kind: Degradation, generator: torch.Generator) -> Tensor:
    """Create the small image of a large one: (c, h, w) of 0 .. 255 to (c, h / scale, w / scale), not yet rounded.

    Sides are multiples of scale; jpeg and photo need 1 or 3 channels, and end with the 8 bits of JPEG.
    """
    high = high.float()
    match kind:
        case "bicubic":
            return downsample(high, scale)
        case "area":
            return resize(high, high.shape[-2] // scale, high.shape[-1] // scale, method="area")
        case "blur":
            return downsample(gaussian_blur(high, _between(BLUR, generator)), scale)
        case "noise":
            return add_noise(downsample(high, scale), _between(NOISE, generator), generator)
        case "jpeg":
            return jpeg(downsample(high, scale), _whole_between(QUALITY, generator))
        case "photo":
            return _photo(high, scale, generator)
        case _:
            assert_never(kind)


def _photo(high: Tensor, scale: int, generator: torch.Generator) -> Tensor:
    """Draw how far the image is from a clean reduction: one in ten is clean, six are mild, three strong."""
    kind = _between((0.0, 1.0), generator)
    height, width = high.shape[-2] // scale, high.shape[-1] // scale
    if kind < CLEAN_SHARE:
        return resize(high, height, width, method=_reduction(generator))
    return (_mild if kind < CLEAN_SHARE + MILD_SHARE else _strong)(high, height, width, generator)


def _mild(high: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Degrade as cameras and web sites do: a slight blur, sensor noise, JPEG once or twice, resized in between."""
    image = gaussian_blur(high, _between((0.0, 1.5), generator))
    if _happens(0.4, generator):
        largest = min(2.0, high.shape[-1] / width)
        factor = _between((1.0, largest), generator)
        image = resize(image, round(height * factor), round(width * factor), method=_reduction(generator))
        image = _random_jpeg(image, (50, 95), generator)
    image = resize(image, height, width, method=_reduction(generator))
    if _happens(0.5, generator):
        image = sensor_noise(image, _between((0.0, 4.0), generator), generator)
    return _random_jpeg(image, QUALITY, generator)


def _strong(high: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Degrade twice, each time by blur, resizing, noise and JPEG; the second time ends at the small size."""
    image = gaussian_blur(high, _between((0.0, 2.0), generator))
    factor = _between((height / high.shape[-2], 1.0), generator)
    between = (max(1, round(side * factor)) for side in high.shape[-2:])
    image = resize(image, *between, method=_reduction(generator))
    image = sensor_noise(image, _between((0.0, 10.0), generator), generator)
    image = _random_jpeg(image, (40, 95), generator)
    image = gaussian_blur(image, _between((0.0, 1.0), generator))
    image = resize(image, height, width, method=_reduction(generator))
    image = sensor_noise(image, _between((0.0, 6.0), generator), generator)
    return _random_jpeg(image, (50, 95), generator)


def _random_jpeg(image: Tensor, qualities: tuple[int, int], generator: torch.Generator) -> Tensor:
    quality = _whole_between(qualities, generator)
    return jpeg(image, quality, halve_colour=_happens(0.7, generator))


def _reduction(generator: torch.Generator) -> Literal["bicubic", "area", "lanczos"]:
    return ("bicubic", "area", "lanczos")[int(torch.randint(0, 3, (), generator=generator))]


def _between(ends: tuple[float, float], generator: torch.Generator) -> float:
    return ends[0] + (ends[1] - ends[0]) * float(torch.rand((), generator=generator, dtype=torch.float64))


def _whole_between(ends: tuple[int, int], generator: torch.Generator) -> int:
    return int(torch.randint(ends[0], ends[1] + 1, (), generator=generator))


def _happens(share: float, generator: torch.Generator) -> bool:
    return _between((0.0, 1.0), generator) < share


def add_noise(image: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of a deviation in the image's own levels."""
    return image + deviation * torch.randn(image.shape, generator=generator)


def sensor_noise(image: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Add noise as a sensor's: half of its variance grows with the light, and half the time all channels share it.

    image: (c, h, w) of 0 .. 255. deviation: in levels of 255, at mid-grey.
    """
    shared = _happens(0.5, generator)
    noise = torch.randn((1 if shared else image.shape[0], *image.shape[1:]), generator=generator)
    light = image.clamp(0, 255) / 127.5
    return image + deviation * (0.5 + 0.5 * light).sqrt() * noise


def jpeg(image: Tensor, quality: int, *, halve_colour: bool = True) -> Tensor:
    """Write (c, h, w) of 0 .. 255, 1 or 3 channels, as JPEG in memory and read it back.

    halve_colour: chroma subsampling 4:2:0, as is usual; otherwise 4:4:4.
    """
    if image.shape[0] not in (1, 3):
        raise ValueError(f"JPEG holds 1 or 3 channels, not {image.shape[0]}")
    pixels = image.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    picture = PillowImage.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
    picture.save(buffer, "JPEG", quality=quality, subsampling="4:2:0" if halve_colour else "4:4:4")
    with PillowImage.open(buffer) as read:
        decoded = torch.frombuffer(bytearray(read.tobytes()), dtype=torch.uint8)
    return decoded.reshape(image.shape[1], image.shape[2], -1).permute(2, 0, 1).float()


def blur_reach(deviation: float) -> int:
    """Pixels to each side that a blur looks at."""
    return int(TRUNCATE * deviation + 0.5)


def gaussian_blur(image: Tensor, deviation: float) -> Tensor:
    """Blur (c, h, w) by a Gaussian of a standard deviation in pixels, repeating the border; 0 changes nothing."""
    if deviation <= 0:
        return image
    reach = blur_reach(deviation)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / deviation) ** 2)
    kernel = (kernel / kernel.sum()).to(image).reshape(1, 1, -1, 1)
    planes = image[:, None]
    planes = functional.conv2d(functional.pad(planes, (0, 0, reach, reach), mode="replicate"), kernel)
    planes = functional.conv2d(functional.pad(planes, (reach, reach, 0, 0), mode="replicate"), kernel.mT)
    return planes[:, 0]
