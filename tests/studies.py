"""A small study on disk for tests: images of a camera, of two methods, and the inputs."""

import secrets
from pathlib import Path

import numpy as np
from PIL import Image

from pictures import smooth
from sr3.study.settings import StudyConfig, read_study

METHODS = ("blurred", "noisy")


def nonce() -> str:
    """Something random, of which a request is known when it is repeated."""
    return secrets.token_urlsafe(16)


def write_pictures(folder: Path, *, count: int = 8, side: int = 48) -> None:
    """Write images img0, img1, ... into truth, inputs and a folder a method, each as another kind of file."""
    for name in ("truth", "inputs", *METHODS):
        (folder / name).mkdir(parents=True)
    for k in range(count):
        truth = Image.fromarray(smooth(side, side + 16, seed=k))
        low = truth.resize((truth.width // 4, truth.height // 4), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(k).normal(0, 25, (side, side + 16, 3))
        noisy = Image.fromarray((np.asarray(truth) + noise).clip(0, 255).astype(np.uint8))
        truth.save(folder / "truth" / f"img{k}.png", dpi=(72, 72))
        low.save(folder / "inputs" / f"img{k}.png")
        low.resize(truth.size, Image.Resampling.BICUBIC).save(folder / "blurred" / f"img{k}.jpg", comment="blurred")
        noisy.save(folder / "noisy" / f"img{k}.png")


def write_study(folder: Path, *, settings: str = "", attention: str = "checks = 2", pairs: int = 4) -> Path:
    """Write study.toml beside the images."""
    path = folder / "study.toml"
    path.write_text(
        f"""
images_per_subject = {pairs}
{settings}
[pictures]
truth = "truth"
inputs = "inputs"
[methods]
blurred = "blurred"
noisy = "noisy"
[attention]
{attention}
[page]
contact = "Ada, ada@example.org"
""",
        encoding="utf-8",
    )
    return path


def make_study(folder: Path, *, settings: str = "", attention: str = "checks = 2", pairs: int = 4) -> StudyConfig:
    """Write images and study.toml, and read it."""
    write_pictures(folder, count=max(8, pairs))
    return read_study(write_study(folder, settings=settings, attention=attention, pairs=pairs))
