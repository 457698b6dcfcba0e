"""A rehearsal of a human study: simulated subjects take it over HTTP, and the report is that of `sr3 study report`.

    python benchmarks/rehearsal.py study.toml --out rehearsal/

These are no people. A subject receives what the page would show, and notices a difference of the two images with a
probability that grows with the distance of their features in EfficientNet-lite0; who notices takes the photograph, who
does not guesses. How much is noticed differs by subject. What is rehearsed is the study: assignment, pairs, answers,
exclusions, intervals and plots. Fool rates are those of this simulation and say nothing of people.
"""

import argparse
import asyncio
import hashlib
import io
import math
import random
import secrets
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sr3.images.files import list_pictures
from sr3.metrics.features import FeatureNetwork, load_features
from sr3.study.report import report_study, write_report
from sr3.study.settings import StudyConfig, read_study

BICUBIC = Image.Resampling.BICUBIC
PATCH = 128
NOTICED = 2.0
"""Median over subjects of how often a difference as large as that of photographs and enlarged inputs is noticed: with
probability 1 - exp(-2)."""
SPREAD = 0.5
"""Standard deviation over subjects of the logarithm of that number."""


@dataclass
class Viewer:
    """What all subjects see with. photographs: digests of the pixels of the photographs; unit: a distance."""

    network: FeatureNetwork
    photographs: set[str]
    unit: float = 1.0
    seen: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def features(self, image: Image.Image) -> Tensor:
        """Compute features of patches side by side, (p, d); of the same image once."""
        key = digest(image)
        if key not in self.seen:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
            side = min(PATCH, *pixels.shape[-2:])
            patches = pixels.unfold(1, side, side).unfold(2, side, side)
            self.seen[key] = self.network([patches.permute(1, 2, 0, 3, 4).flatten(0, 1)])
        return self.seen[key]

    def distance(self, one: Image.Image, other: Image.Image) -> float:
        """Average the distance of patches at the same place, in units."""
        return float((self.features(one) - self.features(other)).norm(dim=1).mean()) / self.unit


def digest(image: Image.Image) -> str:
    """Identify an image by its pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def opened(data: bytes | Path) -> Image.Image:
    """Open an image in RGB."""
    return Image.open(io.BytesIO(data) if isinstance(data, bytes) else data).convert("RGB")


def open_viewer(config: StudyConfig) -> Viewer:
    """Look at the photographs; the unit is their mean distance to enlarged inputs."""
    assert config.pictures.inputs is not None, "give the inputs in study.toml"
    inputs = {path.stem: opened(path) for path in list_pictures(config.pictures.inputs)}
    truths = {path.stem: opened(path) for path in list_pictures(config.pictures.truth)}
    viewer = Viewer(load_features("efficientnet-lite0"), {digest(image) for image in truths.values()})
    viewer.unit = float(
        np.mean([viewer.distance(truth, inputs[name].resize(truth.size, BICUBIC)) for name, truth in truths.items()])
    )
    return viewer


async def take_part(url: str, viewer: Viewer, number: int) -> None:
    """Take the study as the page does."""
    chance = random.Random(number)
    noticed = NOTICED * chance.lognormvariate(0, SPREAD)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        state = (await client.post("api/consent", json={"nonce": secrets.token_urlsafe(16)})).json()
        while state["stage"] == "trial":
            pair = f"api/pairs/{state['pair']['id']}"
            shown = [(await client.get(f"{pair}/{slot}")).raise_for_status().content for slot in ("first", "second")]
            (await client.post(f"{pair}/view", json={"nonce": secrets.token_urlsafe(16)})).raise_for_status()
            first, second = map(opened, shown)
            if chance.random() < 1 - math.exp(-noticed * viewer.distance(first, second)):
                is_first = digest(first) in viewer.photographs
            else:
                is_first = chance.random() < 0.5
            body = {"choice": "first" if is_first else "second", **_seen(state, chance)}
            state = (await client.post(f"{pair}/answer", json=body)).raise_for_status().json()


def _seen(state: Mapping[str, object], chance: random.Random) -> dict[str, object]:
    """Say what a page would have measured: the exposure that was asked for, and a screen."""
    response = max(0.2, chance.gauss(1.2, 0.4))
    return {
        "exposure": state["exposure"],
        "frame": 1 / 60,
        "response": response,
        "layout": "row",
        "width": 256,
        "density": 1,
    }


async def everybody(url: str, viewer: Viewer, subjects: int) -> None:
    """Let a few take part at a time."""
    places = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        async with places:
            await take_part(url, viewer, number)

    await asyncio.gather(*(one(number) for number in range(subjects)))


@contextmanager
def served(study: Path) -> Generator[str]:
    """Serve a study by its command on a free port; returns the address."""
    command = [sys.executable, "-m", "sr3", "study", "serve", "--config", str(study), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(process.wait())
        try:
            yield line.split()[0]
        finally:
            process.terminate()


def main() -> None:
    """Serve the study, let all subjects take part, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--subjects", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = read_study(options.study)
    viewer = open_viewer(config)
    with served(options.study) as url:
        asyncio.run(everybody(url, viewer, options.subjects))
    found = report_study(config)
    for path in write_report(config, found, options.out):
        print(path)
    for group in found.methods:
        low, high = group.rate.interval
        print(f"{group.question:7} {group.method:12} {group.rate.share:6.1%} ({low:.1%} to {high:.1%})")
    print(f"{sum(1 for subject in found.subjects if subject.left_out)} of {len(found.subjects)} subjects excluded")


if __name__ == "__main__":
    main()
