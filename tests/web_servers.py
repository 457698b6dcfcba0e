"""Servers of `sr3 web` for tests: in this process, with small models, or as a process of its own."""

import io
import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from fastapi.testclient import TestClient
from PIL import Image

from pictures import smooth, write_random_model, write_refining_model
from sr3.web.guard import Access
from sr3.web.limits import Limits
from sr3.web.model_list import ModelList
from sr3.web.server import Options, build_app
from sr3.web.service import Machine, Service
from started import start

HOST = "http://127.0.0.1:8333"
STEPS = 4


def write_models(folder: Path) -> tuple[str, ...]:
    """Write a model that refines in a few steps, and one of the same kind on a mean."""
    refining = write_random_model(folder / "tiny.safetensors", settings=[f"sampling.steps={STEPS}"])
    on_mean = write_refining_model(folder / "mean.safetensors", f"sampling.steps={STEPS}")
    return str(refining), str(on_mean)


@contextmanager
def serving(
    folder: Path,
    *,
    limits: Limits | None = None,
    access: Access | None = None,
    keep: Path | None = None,
    dtype: str = "auto",
):
    """Run a server in this process, and give its service and a client of it."""
    files = folder / "served"
    files.mkdir(exist_ok=True)
    models = ModelList(write_models(folder))
    options = Options(dtype=dtype).machine_options()
    machine = Machine([torch.device("cpu")], dtype=dtype, threads=1, options=options)
    service = Service(models, machine, files, limits or Limits(), keep=keep)
    page = folder / "page"
    page.mkdir(exist_ok=True)
    (page / "index.html").write_text("<!doctype html><title>page</title>", encoding="utf-8")
    (page / "main.js").write_text("export {};", encoding="utf-8")
    with service.running():
        app = build_app(service, access or Access(), page=page)
        yield service, TestClient(app, base_url=HOST, raise_server_exceptions=False)


def png(height: int = 16, width: int = 24, *, seed: int = 0, **options) -> bytes:
    """Encode a colour picture."""
    buffer = io.BytesIO()
    Image.fromarray(smooth(height, width, seed=seed)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def post(client, data: bytes | None = None, *, name: str = "photo.png", session: str = "", **settings):
    """Upload a picture."""
    headers = {"X-SR3-Session": session} if session else {}
    files = {"file": (name, png() if data is None else data)}
    return client.post("/api/jobs", files=files, data={"settings": json.dumps(settings)}, headers=headers)


def events(client, job: str, *, after: int = 0) -> list[tuple[str, dict]]:
    """Read the events of a job to its end."""
    text = client.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": str(after)}).text
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def finished(client, job: str, *, seconds: float = 60.0) -> dict:
    """Wait for the end of a job."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = client.get(f"/api/jobs/{job}").json()
        if found["state"] in ("done", "failed", "stopped"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the job is still {found['state']}")


class WebProcess:
    """`sr3 web` as a process; leaving kills it."""

    def __init__(self, *options: str, folder: Path):
        environment = {**os.environ, "TMPDIR": str(folder)}
        self.process = start("web", "--no-open", "--port", "0", *options, environment=environment)
        self.line = self.process.stdout.readline()
        self.url = self.line.split()[0] if self.line else ""

    def end(self, number: int = signal.SIGTERM) -> str:
        """Send a signal, wait for the end, and give what was written to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.process.close()
