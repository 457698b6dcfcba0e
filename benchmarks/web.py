"""The page beside the command line: seconds for the same picture, and from the upload to the first preview.

python benchmarks/web.py examples/noodles.png --side 256 --turns 5

A server and a warm model take turns, so that other load of the machine meets both. The client does what the page does:
it uploads, follows the events, loads each preview, and downloads the result. The command line is measured warm, by the
function that it calls, because its start is paid once by the server; the time of a start is given beside it.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx
from PIL import Image

import sr3
from sr3.runtime.threads import choose_threads
from sr3.zoo import DEFAULT_MODEL


class Turn(NamedTuple):
    """Seconds of one turn, and the digests of both results."""

    page: float
    first_preview: float
    command: float
    is_same: bool


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--side", type=int, default=256, help="side in pixels to which the image is brought")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--steps", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = folder / "photo.png"
        with Image.open(asked.image) as image:
            image.convert("RGB").resize((asked.side, asked.side), Image.Resampling.BICUBIC).save(source)
        print(json.dumps(measure(source, asked), indent=2))


def measure(source: Path, asked: argparse.Namespace) -> dict[str, object]:
    """Let the page and the command take turns after one that is not counted."""
    threads = choose_threads()
    model = sr3.load(asked.model)
    command = [sys.executable, "-m", "sr3", "web", "--no-open", "--port", "0", "--model", asked.model]
    command += ["--threads", str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        try:
            turns = [take_turn(url, model, source, asked.steps) for _ in range(asked.turns + 1)][1:]
        finally:
            server.terminate()
    page, first, warm = (statistics.median(turn[k] for turn in turns) for k in range(3))
    return {
        "image": f"{asked.side}x{asked.side}",
        "model": asked.model,
        "steps": asked.steps,
        "threads": threads,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "turns": len(turns),
        "page_seconds": round(page, 3),
        "command_seconds_warm": round(warm, 3),
        "page_to_command": round(page / warm, 3),
        "each_page_to_command": [round(turn.page / turn.command, 3) for turn in turns],
        "first_preview_seconds": round(first, 3),
        "command_start_seconds": round(start_seconds(), 3),
        "same_bytes": all(turn.is_same for turn in turns),
    }


def take_turn(url: str, model: sr3.Model, source: Path, steps: int | None) -> Turn:
    """Upscale an image by the page and by the command's function."""
    began = time.perf_counter()
    content, first = by_page(url, source, steps)
    page = time.perf_counter() - began
    target = source.with_name("result.png")
    began = time.perf_counter()
    model.upscale_file(source, target, steps=steps, overwrite=True)
    command = time.perf_counter() - began
    digests = [hashlib.sha256(data).digest() for data in (content, target.read_bytes())]
    return Turn(page, first, command, digests[0] == digests[1])


def by_page(url: str, source: Path, steps: int | None) -> tuple[bytes, float]:
    """Do what the page does, and give the result and the seconds to the first preview."""
    began, first = time.perf_counter(), 0.0
    settings = {} if steps is None else {"steps": steps}
    with httpx.Client(base_url=url, timeout=None) as client:
        job = client.post(
            "/api/jobs", files={"file": source.open("rb")}, data={"settings": json.dumps(settings)}
        ).json()
        kind = ""
        with client.stream("GET", f"/api/jobs/{job['id']}/events") as events, httpx.Client(base_url=url) as other:
            for line in events.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == "preview":
                    shown = other.get(json.loads(line.removeprefix("data: "))["url"])
                    first = first or (time.perf_counter() - began if shown.status_code == 200 else 0.0)
                elif line.startswith("data: ") and kind == "end":
                    job = json.loads(line.removeprefix("data: "))
        [result] = job["results"]
        return client.get(result["url"]).content, first


def start_seconds() -> float:
    """Time the start of the command line without an image."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import sr3; sr3.load()"], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
