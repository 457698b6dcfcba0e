"""Pictures and models for tests, made on the spot."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

from sr3.build import build_denoiser
from sr3.checkpoint import MEAN_PREFIX, ModelInfo, write_model
from sr3.config import apply_settings
from sr3.data.sources import NO_LABEL
from sr3.presets import preset


def smooth(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """A colour image with gradients and edges, uint8 (h, w, 3)."""
    coarse = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2, 3)) * 255
    picture = Image.fromarray(coarse.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture).copy()


def write_pictures(folder: Path, count: int = 6, *, ending: str = ".png") -> Path:
    """Make a folder of different colour images, 64x48, named by their numbers from 0 on."""
    folder.mkdir()
    for k in range(count):
        Image.fromarray(smooth(48, 64, seed=k)).save(folder / f"{k}{ending}")
    return folder


def write_tiff(path: Path, array: np.ndarray) -> None:
    """Write (h, w) or (h, w, bands) as a TIFF of bands side by side."""
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    tifffile.imwrite(path, array, photometric="minisblack", planarconfig="contig" if array.ndim == 3 else None)


class Pictures:
    """A source of arrays, encoded as PNG."""

    def __init__(self, *arrays: np.ndarray, labels: tuple[int, ...] = ()):
        self.arrays, self.labels = arrays, labels

    def __len__(self) -> int:
        return len(self.arrays)

    def name(self, index: int) -> str:
        return f"picture {index}"

    def read(self, index: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.arrays[index]).save(buffer, "PNG")
        return buffer.getvalue()

    def label(self, index: int) -> int:
        return self.labels[index] if self.labels else NO_LABEL

    def read_low(self, index: int) -> bytes | None:  # noqa: ARG002
        return None


GENERATOR = (
    "network.condition=none",
    "data.scale=1",
    "data.crop=16",
    "denoiser.target=image",
    "denoiser.target_scale=1",
    "sampling.correct=false",
)
"""Settings that make a generator of the tiny preset."""


def write_random_model(
    path: Path, *, image_channels: int = 3, seed: int = 0, settings: Sequence[str] = (), of: str = "tiny-x4"
) -> Path:
    """A model file of the tiny preset, or of what settings make of it, with weights drawn at random."""
    config = apply_settings(preset(of), settings)
    denoiser = build_denoiser(config, image_channels=image_channels)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: weight + 0.05 * torch.randn(weight.shape, generator=generator)
        for name, weight in denoiser.network.state_dict().items()
    }
    info = ModelInfo(name=path.stem, image_channels=image_channels, step=1, config=config)
    write_model(path, info, weights, dtype=torch.float32)
    return path


def write_refining_model(path, *settings, seed=0, mean=True):
    """A model of random weights on a mean of random weights."""
    section = [
        'mean={name="span", digest="' + "0" * 64 + '", network={family="span", width=8, blocks=2}}',
        "network.guide=8",
        "data.crop=96",
    ]
    config = apply_settings(preset("tiny-x4"), [*section, *settings])
    torch.manual_seed(seed)
    denoiser = build_denoiser(config, image_channels=3)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        n: w + 0.03 * torch.randn(w.shape, generator=generator) for n, w in denoiser.network.state_dict().items()
    }
    assert denoiser.mean is not None
    own = {f"{MEAN_PREFIX}{n}": w for n, w in denoiser.mean.state_dict().items()} if mean else {}
    info = ModelInfo(name=path.stem, image_channels=3, step=1, config=config)
    write_model(path, info, {**weights, **own}, dtype=torch.float32)
    return path


_CLEAN = ("data.scale=1", "data.degradation=jpeg", "denoiser.target=residual", "network.width=8", "network.blocks=2")


def write_restoration(path, *settings, channels=3):
    """A restoration model of random weights that changes its input by some levels."""
    config = apply_settings(preset("span-x4-small"), [*_CLEAN, *settings])
    torch.manual_seed(1)
    denoiser = build_denoiser(config, image_channels=channels)
    weights = denoiser.network.state_dict()
    weights["tail.weight"] *= 0.02
    weights["tail.bias"] = torch.full_like(weights["tail.bias"], 0.5)
    info = ModelInfo(name=path.stem, image_channels=channels, step=1, config=config)
    write_model(path, info, weights, dtype=torch.float32)
    return path
