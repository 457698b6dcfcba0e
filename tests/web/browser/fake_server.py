"""A stand-in for the server of `sr3 web`: speaks its HTTP, draws nothing, and does what a test wants at once.

Its answers are pictures of a plain enlargement; how long a step takes, whether the queue is full and what is refused
can be set while it runs.
"""

import asyncio
import email.parser
import email.policy
import io
import itertools
import json
import threading
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image, ImageFilter, UnidentifiedImageError

import sr3
from sr3.images.colours import map_picture

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
MODELS = [
    {"name": "fast", "scale": 4, "title": "Photographs, fast", "description": "One call.", "steps": 1,
     "steps_choices": [1], "detail": None, "stochastic": True},
    {"name": "fine", "scale": 4, "title": "Photographs, fine", "description": "Refines in steps.", "steps": 8,
     "steps_choices": [4, 8, 16], "detail": 1.0, "stochastic": True},
    {"name": "mean", "scale": 4, "title": "Mean", "description": "The average answer.", "steps": 1,
     "steps_choices": [1], "detail": None, "stochastic": False},
]  # fmt: skip
PIXELS, BYTES = 1_000_000, 10_000_000


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def parts(body: bytes, kind: str) -> dict[str, tuple[str, bytes]]:
    """Split multipart/form-data into {name: (file name, content)}."""
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    return {
        part.get_param("name", header="content-disposition"): (part.get_filename(""), part.get_payload(decode=True))
        for part in message.iter_parts()
    }


class Job:
    """One picture on its way."""

    def __init__(self, name: str, image: Image.Image, settings: dict):
        model = next(model for model in MODELS if model["name"] == settings.get("model", "fast"))
        self.settings = {"model": model["name"], "steps": model["steps"], "samples": 1, "seed": 0} | settings
        self.name, self.image, self.scale = name, image, settings.get("scale", model["scale"])
        self.size = round(image.width * self.scale), round(image.height * self.scale)
        self.id, self.state, self.position, self.stopping = f"job{next(COUNT)}", "waiting", 0, False
        self.events, self.results, self.files, self.preview = [], [], {}, b""
        self.news = asyncio.Event()

    def enlarged(self) -> Image.Image:
        return self.image.resize(self.size, Image.Resampling.BICUBIC)

    def told(self) -> dict:
        width, height = self.size
        options = " ".join(f"--{key} {value}" for key, value in self.settings.items())
        pair = {"pair": [self.settings["samples"] - 1, 0]} if self.state == "done" and len(self.results) > 2 else {}
        return {
            "id": self.id, "state": self.state, "position": self.position, "settings": self.settings,
            "input": {"name": self.name, "width": self.image.width, "height": self.image.height},
            "output": {"width": width, "height": height}, "command": f"sr3 upscale {self.name} {options}",
            "seconds_left": 3.0, "error": None, "warnings": ["16 bits become 8"], "results": self.results, **pair,
        }  # fmt: skip

    def tell(self, kind: str, data: dict) -> None:
        self.events.append((kind, data))
        self.news.set()
        self.news = asyncio.Event()

    def add(self, kind: str, image: Image.Image, number: int | None = None) -> None:
        name = f"{self.name.rpartition('.')[0]}-{kind if number is None else number + 1}.png"
        self.files[name] = png(image)
        url = f"/api/jobs/{self.id}/results/{name}"
        seed = self.settings["seed"]
        result = {
            "name": name,
            "kind": kind,
            "sample": number,
            "seed": seed,
            "width": image.width,
            "height": image.height,
        }
        result |= {"bytes": len(self.files[name]), "url": url, "view_url": f"{url}/view"}
        self.results = [*self.results, result]
        self.tell("result", result)


COUNT = itertools.count()


class Fake:
    """The server in a thread; `stop` and `start` are what a restart is to the page."""

    def __init__(self):
        self.step_seconds, self.full, self.port = 0.03, False, 0
        self.jobs: dict[str, Job] = {}
        self.sessions: list[str] = []
        self.forgotten: list[str] = []
        self.start()

    def start(self) -> None:
        self.jobs = {}
        server = uvicorn.Server(uvicorn.Config(self._app(), port=self.port, log_level="error", lifespan="off"))
        server.config.load()
        listener = server.config.bind_socket()
        self.port, self.server = listener.getsockname()[1], server
        self.url = f"http://127.0.0.1:{self.port}/"
        self.thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    def stop(self) -> None:
        self.server.force_exit = self.server.should_exit = True
        self.thread.join()

    async def _draw(self, job: Job) -> None:
        async with self.turn:
            job.state = "running"
            job.tell("state", job.told())
            steps, samples = job.settings["steps"], job.settings["samples"]
            for sample, step in itertools.product(range(samples), range(1, steps + 1)):
                await asyncio.sleep(self.step_seconds)
                if job.stopping:
                    break
                image = job.enlarged().filter(ImageFilter.GaussianBlur(2 * (steps - step)))
                job.preview = png(image)
                left = (samples * steps - sample * steps - step) * self.step_seconds
                progress = {"step": step, "steps": steps, "sample": sample, "samples": samples, "seconds_left": left}
                progress["done"] = (sample * steps + step) / (samples * steps)
                job.tell("progress", progress)
                url = f"/api/jobs/{job.id}/preview?number={sample * steps + step}"
                job.tell("preview", {"url": url, "sample": sample, "step": step})
                if step == steps:
                    job.add("sample", image.rotate(2 * sample + 3 * job.settings["seed"]), sample)
            if samples > 1 and not job.stopping:
                job.add("mean", job.enlarged())
                values = torch.linspace(0, 20, job.size[0]).expand(job.size[1], -1)
                job.add("deviation", map_picture(values, title="Deviation", unit="levels"))
            job.state = "stopped" if job.stopping else "done"
            job.tell("end", job.told())

    def _find(self, key: str) -> Job:
        if key not in self.jobs:
            raise HTTPException(404, f"{key}: there is no such job; send the picture again")
        return self.jobs[key]

    async def _take(self, request: Request) -> Response:
        body = b"".join([chunk async for chunk in request.stream()])
        if self.full:
            raise HTTPException(429, "the queue is full: 8 pictures wait", {"Retry-After": "1"})
        found = parts(body, request.headers["content-type"])
        name, content = found["file"]
        try:
            image = Image.open(io.BytesIO(content)).convert("RGB")
        except UnidentifiedImageError:
            raise HTTPException(415, f"{name}: not an image that sr3 reads; convert it to PNG") from None
        if 16 * image.width * image.height > PIXELS:
            raise HTTPException(413, f"{name}: more than {PIXELS // 10**6} megapixels; reduce it, or use sr3 upscale")
        job = Job(name, image, json.loads(found["settings"][1]))
        self.jobs[job.id] = job
        self.sessions.append(request.headers["x-sr3-session"])
        job.position = sum(other.state in ("waiting", "running") for other in self.jobs.values()) - 1
        self.drawing = [*getattr(self, "drawing", []), asyncio.create_task(self._draw(job))]
        return JSONResponse(job.told(), 201)

    def _app(self) -> FastAPI:
        app, self.turn = FastAPI(docs_url=None), asyncio.Lock()
        page = Path(sr3.__file__).parent / "web" / "page"

        @app.middleware("http")
        async def guard(request, call_next):
            response = await call_next(request)
            response.headers["Content-Security-Policy"] = POLICY
            response.headers["Cache-Control"] = "no-store"
            return response

        @app.get("/")
        @app.get("/page/{name}")
        def static(name: str = "index.html") -> Response:
            return Response((page / name).read_bytes(), media_type=KINDS[name.rpartition(".")[2]])

        @app.get("/api/models")
        def models():
            return MODELS

        @app.get("/api/limits")
        def limits():
            return {"pixels": PIXELS, "bytes": BYTES, "waiting": 8, "samples": 8, "formats": ["png", "jpg", "tif"]}

        app.add_api_route("/api/jobs", self._take, methods=["POST"])

        @app.get("/api/jobs/{key}")
        def one(key: str):
            return self._find(key).told()

        @app.get("/api/jobs/{key}/events")
        async def events(key: str, request: Request):
            job, start = self._find(key), int(request.headers.get("last-event-id", -1)) + 1

            async def stream():
                for number in itertools.count(start):
                    while number >= len(job.events):
                        await job.news.wait()
                    kind, data = job.events[number]
                    yield f"event: {kind}\nid: {number}\ndata: {json.dumps(data)}\n\n"
                    if kind == "end":
                        return

            return StreamingResponse(stream(), media_type="text/event-stream")

        @app.post("/api/jobs/{key}/stop")
        def stop(key: str):
            self._find(key).stopping = True

        @app.delete("/api/jobs/{key}")
        def forget(key: str):
            self.forgotten.append(key)
            self.jobs.pop(key, None)

        @app.get("/api/jobs/{key}/{what}")
        def picture(key: str, what: str) -> Response:
            job = self._find(key)
            made = {"input": lambda: png(job.image), "enlarged": lambda: png(job.enlarged())}
            return Response(made[what]() if what in made else job.preview, media_type="image/png")

        @app.get("/api/jobs/{key}/results/{name}")
        @app.get("/api/jobs/{key}/results/{name}/view")
        def result(key: str, name: str, request: Request) -> Response:
            disposition = {} if request.url.path.endswith("/view") else {"Content-Disposition": "attachment"}
            return Response(self._find(key).files[name], media_type="image/png", headers=disposition)

        return app
