"""PULSE with a diffusion generator (arXiv:2003.03808, section 3): the search for noise that gives the input.

PULSE searches the latents of a generator on the sphere where such latents lie; here the latent is the noise from which
DDIM with eta 0 walks in few steps, a map without chance, so that gradients go through it. Not from PULSE: a diffusion
model in place of a StyleGAN, the noise in place of its style vectors, the cosine levels, the best of several starts.
Its program has a geodesic term and a schedule of the rate besides, which noise that is one vector has no use for.
Images are tensors.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sr3.diffusion.denoiser import ClassAndLevel
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.process import per_image
from sr3.diffusion.schedule import cosine_grid
from sr3.errors import ImageError
from sr3.images.resize import resize
from sr3.sampling.generator import PictureGenerator
from sr3.types import Gamma, Grid, Image, LowRes

__all__ = ["Found", "Search", "search", "walk"]


@dataclass(frozen=True)
class Search:
    """How to search: gradient steps by Adam at a rate, and network calls of an image."""

    steps: int = 100
    rate: float = 0.1
    calls: int = 5


class Found(NamedTuple):
    """The best images so far (b, c, s, s), after which step, and the losses (b,) of those that this step tried."""

    step: int
    image: Image
    losses: Tensor


def search(generator: PictureGenerator, low_res: LowRes, plan: Search, *, seed: int) -> Iterator[Found]:
    """Search for images that, made small by antialiased bicubic, are low_res (b, c, h, h) in [-1, 1].

    Every image has the noise of the seed first, whatever it is searched with. Raises ImageError when low_res is no
    whole fraction of what the generator makes.
    """
    _check(generator, low_res)
    shape = (generator.info.image_channels, generator.side, generator.side)
    noise = NoiseSource([seed] * len(low_res)).draw(shape).to(generator.device)
    low_res = low_res.to(generator.device)
    noise.requires_grad_(True)
    optimizer = torch.optim.Adam([noise], lr=plan.rate)
    best, image = torch.full((len(low_res),), math.inf), torch.zeros(0)
    for step in range(plan.steps + 1):
        with torch.enable_grad():
            answer = walk(generator, noise, cosine_grid(plan.calls))
            errors = (_small(answer, low_res.shape[-1]) - low_res).square().mean(dim=(1, 2, 3))
            optimizer.zero_grad()
            errors.sum().backward()
        answer = answer.detach().clamp(-1, 1).cpu()
        losses = (_small(answer, low_res.shape[-1]) - low_res.cpu()).square().mean(dim=(1, 2, 3))
        image = torch.where((losses < best)[:, None, None, None], answer, image) if len(image) else answer
        best = best.minimum(losses)
        yield Found(step, image, losses)
        optimizer.step()
        with torch.no_grad():
            radius = math.sqrt(math.prod(shape))
            noise.mul_(radius / noise.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1))


def walk(generator: PictureGenerator, noise: Image, grid: Grid) -> Image:
    """Walk from noise to images by DDIM with eta 0 (arXiv:2010.02502, Eq. 12), keeping gradients."""
    denoiser, nothing = generator.denoiser, noise[:, :0]
    no_class = torch.full((len(noise),), generator.classes)
    clean = torch.ones(len(noise), dtype=torch.float64)
    conditioning = ClassAndLevel(no_class, clean) if generator.classes else ()
    denoise = denoiser.bind(nothing, clip=False, conditioning=conditioning)

    def step(y: Image, gamma: Gamma, gamma_next: Gamma) -> Image:
        y0, eps = denoise(y, gamma)
        return per_image(gamma_next.sqrt(), y) * y0 + per_image((1 - gamma_next).sqrt(), y) * eps

    y = noise
    for gamma, gamma_next in pairwise(grid[:, None].expand(-1, len(noise))):
        y = checkpoint(step, y, gamma, gamma_next, use_reentrant=False)  # keeps one call's activations, not all
        assert isinstance(y, Tensor)
    return denoiser.decode(y, nothing)


def _small(image: Image, side: int) -> LowRes:
    return resize(image, side, side)


def _check(generator: PictureGenerator, low_res: LowRes) -> None:
    height, width = low_res.shape[-2:]
    if height != width or generator.side % width or low_res.shape[1] != generator.info.image_channels:
        raise ImageError(
            f"inputs of {width}x{height} with {low_res.shape[1]} channels do not fit {generator.info.name}, which "
            f"makes {generator.side}x{generator.side} with {generator.info.image_channels}; give square inputs whose "
            "side divides that, with the same channels"
        )
