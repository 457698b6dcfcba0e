"""The server of `sr3 web`: page, API and guard, from options to a running process."""

import os
import secrets
import signal
import sys
import webbrowser
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sr3.errors import ConfigError
from sr3.serving.request_limits import MOST_A_MINUTE, MOST_BYTES, RequestLimits
from sr3.web.guard import Access, Guard, is_local
from sr3.web.limits import Limits
from sr3.web.openapi_page import STYLE, openapi_page
from sr3.web.refused import Refused
from sr3.web.temporary_folder import temporary_folder
from sr3.zoo import DEFAULT_MODEL, packaged_models

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.exceptions import HTTPException

    from sr3.serving.server import Server, open_listener
    from sr3.web.api import UPLOADS, build_router

    if find_spec("python_multipart") is None:  # by which fastapi reads uploads
        raise ImportError("python_multipart")
except ImportError as error:
    raise ConfigError("sr3 web needs fastapi, uvicorn and python-multipart: pip install 'sr3[web]'") from error

from sr3.web.model_list import ModelList, choose_devices
from sr3.web.service import Machine, Service

__all__ = ["Options", "build_app", "open_web", "serve", "serve_space"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
}
_FORM = 64 * 1024  # bytes of a form beside its file
_DESCRIPTION = (
    "Upload an image, follow its events, download the results. They have the bytes that sr3 upscale writes with the "
    "same settings and seed."
)


@dataclass(frozen=True)
class Options:
    """Options of `sr3 web`.

    token: what requests must carry; "" makes one for an address that other machines reach. models: names or paths,
    the first is the default; none for those of the package. keep: folder in which results stay. is_public: whether
    anybody may use a server that other machines reach, without a token. frames: origins whose pages may embed it.
    """

    host: str = "127.0.0.1"
    port: int = 8333
    token: str = ""
    models: tuple[str, ...] = ()
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    limits: Limits = field(default_factory=Limits)
    keep: Path | None = None
    is_public: bool = False
    frames: tuple[str, ...] = ()

    def access(self) -> Access:
        """Decide who may ask."""
        if is_local(self.host):
            return Access(token=self.token, frames=self.frames)
        token = "" if self.is_public else self.token or secrets.token_urlsafe(16)
        return Access(hosts=(), token=token, frames=self.frames)

    def machine_options(self) -> tuple[str, ...]:
        """Name the options of `sr3 upscale` that say the same of the machine."""
        device = () if self.device == "auto" else ("--device", self.device)
        dtype = () if self.dtype == "auto" else ("--dtype", self.dtype)
        return (*device, *dtype, *(() if self.threads is None else ("--threads", str(self.threads))))


@dataclass(frozen=True)
class Web:
    """A server that is bound and has its models on the device. address: of its page, with the token if there is one."""

    server: Server
    address: str


@contextmanager
def open_web(options: Options) -> Generator[Web]:
    """Bind to the address and load the default model; at the end jobs are stopped and files removed.

    Raises ConfigError and CheckpointError for options that cannot be met.
    """
    devices = choose_devices(options.device)
    models = ModelList(options.models or _default_models())
    _check_keep(options.keep)
    listener = open_listener(options.host, options.port)
    access = options.access()
    machine = Machine(devices, dtype=options.dtype, threads=options.threads, options=options.machine_options())
    with listener, temporary_folder() as folder:
        service = Service(models, machine, folder, options.limits, keep=options.keep)
        with service.running():
            server = Server(build_app(service, access), listener, service.close)
            yield Web(server, server.url + (f"?token={access.token}" if access.token else ""))


def serve(options: Options, *, announce: Callable[[str], None], opens_browser: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; announce is called with the address of the page."""
    with _ended_by_sigterm(), open_web(options) as web:
        announce(web.address)
        if opens_browser:
            webbrowser.open(web.address)
        web.server.run()


def serve_space() -> None:
    """Serve to everybody at the address that a Space of the Hugging Face Hub expects; see docs/how-to/web.md."""
    options = Options(
        host="0.0.0.0",
        port=int(os.environ.get("PORT", "7860")),
        limits=Limits(pixels=2**23, bytes=2**24, waiting=4, samples=4),
        is_public=True,
        frames=("'self'", "https://huggingface.co"),
    )
    serve(options, announce=_write_line)


def _write_line(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


def build_app(service: Service, access: Access, *, page: Path | None = None) -> FastAPI:
    """Build the application. page: folder of the page, by default that of the package."""
    app = FastAPI(title="sr3 web", version=_version(), description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.include_router(build_router(service))
    _add_page(app, Path(str(files("sr3.web") / "page")) if page is None else page)
    _add_docs(app)
    _add_errors(app)
    most = service.limits.bytes
    app.add_middleware(
        RequestLimits,
        most_bytes=lambda method, path: most + _FORM if (method, path) == ("POST", UPLOADS) else MOST_BYTES,
        most_new=MOST_A_MINUTE,  # pages of this server have no cookie where no token is asked for
        reasons={
            408: "the upload is too slow; use a faster connection, or a smaller file",
            413: f"the file is too large: at most {most / 2**20:g} MiB here; crop it, or use the command line",
            429: "too many requests; wait a minute",
        },
    )
    app.add_middleware(Guard, access=access)  # the outermost, so that nothing is read for who may not ask
    return app


def _add_page(app: FastAPI, folder: Path) -> None:
    """Serve the files of a folder, which are read once, so that no request is turned into a path."""
    found = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    pages = {path.name: (path.read_bytes(), _TYPES.get(path.suffix[1:], "application/octet-stream")) for path in found}

    def send(name: str) -> Response:
        if name not in pages:
            raise Refused(404, f"{name[:100]}: there is no such page; open the address that the server printed")
        content, kind = pages[name]
        return Response(content, media_type=kind)

    app.add_api_route("/", lambda: send("index.html"), methods=["GET"], include_in_schema=False)
    app.add_api_route("/page/{name}", send, methods=["GET"], include_in_schema=False)
    app.add_api_route("/favicon.ico", lambda: Response(status_code=204), methods=["GET"], include_in_schema=False)


def _add_docs(app: FastAPI) -> None:
    def page() -> Response:
        return HTMLResponse(openapi_page(app.openapi()))

    def style() -> Response:
        return Response(STYLE, media_type="text/css; charset=utf-8")

    app.add_api_route("/docs", page, methods=["GET"], include_in_schema=False)
    app.add_api_route("/docs.css", style, methods=["GET"], include_in_schema=False)


def _add_errors(app: FastAPI) -> None:
    """Answer every error by one line of JSON, which repeats no value that was sent and no path of the server."""

    def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return JSONResponse({"detail": error.detail}, error.status)

    def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"][1:]))
        return JSONResponse({"detail": f"{place or 'the request'}: {first['msg']}; see /docs"}, 422)

    def other(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"detail": f"{error.detail}; see /docs for what there is"}, error.status_code)

    def defect(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"detail": "the server failed; try again, or report what you did"}, 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(Exception, defect)


def _default_models() -> tuple[str, ...]:
    return (DEFAULT_MODEL, *(name for name in packaged_models() if name != DEFAULT_MODEL))


def _check_keep(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--keep {folder}: cannot be created as a folder ({error.strerror}); name another") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"--keep {folder}: is not writable; name another")


def _version() -> str:
    from importlib.metadata import version

    return version("sr3")


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that files are removed."""

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
