"""The routes of the HTTP API (docs/reference/http-api.md)."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Header, Request, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse

from sr3.errors import ImageError
from sr3.images.files import WRITABLE_SUFFIXES
from sr3.web.browser_view import enlarged_png, view_png
from sr3.web.event_log import beats
from sr3.web.job import Job, make_id
from sr3.web.refused import Refused
from sr3.web.schema import Detail, JobView, LimitsView, ModelView
from sr3.web.service import Service
from sr3.web.sessions import Sessions
from sr3.web.upload import without_folder

__all__ = ["UPLOADS", "build_router"]

UPLOADS = "/api/jobs"
"""The path to which images are uploaded."""

Session = Annotated[str, Header(alias="X-SR3-Session", max_length=64, description="Random name of the tab or program.")]
LastEvent = Annotated[int, Header(alias="Last-Event-ID", ge=0, description="Number of the last event received.")]
_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Detail} for status in (400, 401, 404, 409, 413, 415, 422, 429, 503)
}
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}


def build_router(service: Service) -> APIRouter:
    """Build the routes of a service."""
    router = APIRouter(responses=_ERRORS)
    _add_lists(router, service)
    _add_jobs(router, service)
    _add_events(router, service)
    _add_images(router, service)
    return router


def _add_lists(router: APIRouter, service: Service) -> None:
    @router.get("/api/models")
    def models() -> list[ModelView]:  # pyright: ignore[reportUnusedFunction]
        """List the models, the default first."""
        return [one.view() for one in service.models]

    @router.get("/api/limits")
    def limits() -> LimitsView:  # pyright: ignore[reportUnusedFunction]
        """Describe the limits of this server, and the formats it writes."""
        most = service.limits
        formats = [suffix[1:] for suffix in WRITABLE_SUFFIXES]
        return LimitsView(
            pixels=most.pixels, bytes=most.bytes, waiting=most.waiting, samples=most.samples, formats=formats
        )


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.post(UPLOADS, status_code=201)
    def submit(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        file: Annotated[UploadFile, File(description="An image file.")],
        settings: Annotated[str, Form(description="JSON object of settings, see the schema JobSettings.")] = "{}",
        session: Session = "",
    ) -> JobView:
        """Upload an image and queue a job for it."""
        address = request.client.host if request.client else ""
        name = Sessions.named(session, address)
        service.sessions.touch(name)
        return service.view(service.submit(name, file.filename or "", file.file, settings))

    @router.get("/api/jobs/{job}")
    def show(job: str) -> JobView:  # pyright: ignore[reportUnusedFunction]
        """Describe a job as it is now."""
        return service.view(service.find(job))

    @router.post("/api/jobs/{job}/stop")
    def stop(job: str) -> JobView:  # pyright: ignore[reportUnusedFunction]
        """Stop a job after the current step, or the current window of a large image; complete samples are kept."""
        found = service.find(job)
        service.stop(found)
        return service.view(found)

    @router.delete("/api/jobs/{job}", status_code=204)
    def forget(job: str) -> None:  # pyright: ignore[reportUnusedFunction]
        """Stop a job and remove its files."""
        service.forget(service.find(job))


def _add_events(router: APIRouter, service: Service) -> None:
    @router.get("/api/jobs/{job}/events", response_class=StreamingResponse, responses=_EVENTS)
    async def events(job: str, last: LastEvent = 0) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        """Follow a job by Server-Sent Events: state, progress, preview, result, and end."""
        found = service.find(job)

        async def stream() -> AsyncIterator[bytes]:
            with service.sessions.streaming(found.session):
                async for part in found.events.read(last):
                    yield part

        return StreamingResponse(stream(), media_type="text/event-stream", headers=_STREAM)

    @router.get("/api/session/events", response_class=StreamingResponse, responses=_EVENTS)
    async def presence(session: str) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        """Hold a stream open as long as a page is open; ten seconds after its end the page's jobs are removed."""
        name = Sessions.named(session, "")

        async def stream() -> AsyncIterator[bytes]:
            with service.sessions.streaming(name, presence=True):
                async for part in beats(service.is_closing):
                    yield part

        return StreamingResponse(stream(), media_type="text/event-stream", headers=_STREAM)


def _add_images(router: APIRouter, service: Service) -> None:
    @router.get("/api/jobs/{job}/input", response_class=Response, responses=_PNG)
    def uploaded(job: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Show the input: PNG, 8 bits, sRGB, upright."""
        found = service.find(job)
        return _view(found, "input", lambda: view_png(found.source))

    @router.get("/api/jobs/{job}/enlarged", response_class=Response, responses=_PNG)
    def enlarged(job: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Show the input enlarged to the size of the result by bicubic interpolation."""
        found = service.find(job)
        size = found.asked.output
        return _view(found, "enlarged", lambda: enlarged_png(found.source, size.width, size.height))

    @router.get("/api/jobs/{job}/preview", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
    def preview(job: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Show the newest preview of a running job."""
        data = service.find(job).preview.encoded()
        if data is None:
            raise Refused(404, f"job {job}: has no preview now; follow its events, or show its results")
        return Response(data, media_type="image/webp")

    @router.get("/api/jobs/{job}/results/{name}", response_class=FileResponse)
    def result(job: str, name: str) -> FileResponse:  # pyright: ignore[reportUnusedFunction]
        """Download a file of the results, as `sr3 upscale` writes it."""
        path = _result(service.find(job), name)
        disposition = f"attachment; filename*=utf-8''{quote(name)}"
        return FileResponse(path, media_type="application/octet-stream", headers={"Content-Disposition": disposition})

    @router.get("/api/jobs/{job}/results/{name}/view", response_class=Response, responses=_PNG)
    def view(job: str, name: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Show a file of the results: PNG, 8 bits, sRGB."""
        found = service.find(job)
        path = _result(found, name)
        return _view(found, f"result-{path.name}", lambda: view_png(path))


def _result(job: Job, name: str) -> Path:
    """Find a file among the results by its name, of which no path is made."""
    for result in job.results:
        if result.name == name:
            return job.target.parent / result.name
    raise Refused(404, f"job {job.id}: has no result {name[:100]!r}; its results are listed in the job")


def _view(job: Job, name: str, make: Callable[[], bytes]) -> Response:
    """Make a view of an image once and keep it with the job."""
    kept = job.folder / "views" / f"{name}.png"
    try:
        if kept.is_file():
            return FileResponse(kept, media_type="image/png")
        data = make()
        kept.parent.mkdir(exist_ok=True)
        unfinished = kept.with_name(f"{make_id()}.part")
        unfinished.write_bytes(data)
        unfinished.replace(kept)
    except ImageError as error:
        raise Refused(422, without_folder(str(error), job.source.parent)) from error
    except OSError as error:
        raise Refused(409, f"job {job.id}: its files are being removed; upload the image again") from error
    return Response(data, media_type="image/png")
