"""A rehearsal of a human study: simulated subjects take it over HTTP, and the report is that of `sr3 study report`.

    python benchmarks/rehearsal.py study.toml --photographs other-photographs/ --out rehearsal/

These are no people. A subject judges what the page would show: each of the two images, as it arrives, gets a score, the
mean distance of its patches to their nearest neighbours among patches of photographs that are not in the study, in the
features of EfficientNet-lite0. The image with the lower score is taken for the photograph, with a probability that is
logistic in the difference; how sharply differs by subject. What is rehearsed is the study: assignment, pairs, answers,
exclusions, intervals and plots. Fool rates are those of this simulation and say nothing of people.
"""

import argparse
import asyncio
import hashlib
import io
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

PATCH = 128
NEIGHBOURS = 3
SHARPNESS = 6.0
"""Median over subjects of the slope of the choice, per standard deviation of scores over the images of the study."""
SPREAD = 0.5
"""Standard deviation over subjects of the logarithm of that slope."""


@dataclass
class Viewer:
    """What all subjects see with: a feature network, and patches of photographs."""

    network: FeatureNetwork
    photographs: Tensor
    unit: float = 1.0
    scores: dict[str, float] = field(default_factory=dict[str, float])

    def score(self, png: bytes) -> float:
        """Measure how unlike photographs an image is, in standard deviations over the images of the study."""
        return self.distance(Image.open(io.BytesIO(png)).convert("RGB")) / self.unit

    def distance(self, image: Image.Image) -> float:
        """Average over patches of the distance to the nearest patches of photographs; the same image is seen once."""
        key = hashlib.sha256(image.tobytes()).hexdigest()
        if key not in self.scores:
            apart = torch.cdist(features_of(self.network, image), self.photographs)
            self.scores[key] = float(apart.topk(NEIGHBOURS, largest=False).values.mean())
        return self.scores[key]


def features_of(network: FeatureNetwork, image: Image.Image) -> Tensor:
    """Compute features of patches side by side, (p, d)."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
    side = min(PATCH, *pixels.shape[-2:])
    patches = pixels.unfold(1, side, side).unfold(2, side, side)
    return network([patches.permute(1, 2, 0, 3, 4).flatten(0, 1)])


def open_viewer(config: StudyConfig, photographs: Path) -> Viewer:
    """Look at photographs outside the study; the unit is the deviation of scores over all images of the study."""
    network = load_features("efficientnet-lite0")
    known = [Image.open(path).convert("RGB") for path in list_pictures(photographs)]
    viewer = Viewer(network, torch.cat([features_of(network, image) for image in known]))
    folders = (config.pictures.truth, *config.methods.values())
    values = [viewer.distance(Image.open(path).convert("RGB")) for folder in folders for path in list_pictures(folder)]
    viewer.unit = float(np.std(values))
    return viewer


async def take_part(url: str, viewer: Viewer, number: int) -> None:
    """Take the study as the page does."""
    chance = random.Random(number)
    slope = SHARPNESS * chance.lognormvariate(0, SPREAD)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        state = (await client.post("api/consent", json={"nonce": secrets.token_urlsafe(16)})).json()
        while state["stage"] == "trial":
            pair = f"api/pairs/{state['pair']['id']}"
            shown = [(await client.get(f"{pair}/{slot}")).raise_for_status().content for slot in ("first", "second")]
            (await client.post(f"{pair}/view", json={"nonce": secrets.token_urlsafe(16)})).raise_for_status()
            first, second = (viewer.score(png) for png in shown)
            is_first = chance.random() < 1 / (1 + np.exp(slope * (first - second)))
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
    parser.add_argument(
        "--photographs", type=Path, required=True, help="folder of photographs that are not in the study"
    )
    parser.add_argument("--subjects", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = read_study(options.study)
    viewer = open_viewer(config, options.photographs)
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
