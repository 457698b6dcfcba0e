"""The HTTP server of a study: page, images and answers. Needs the extra `web`.

The page receives only the fields of `State`. Every request may be repeated and then gets the same response.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from sr3.config.strict import Settings
from sr3.errors import ConfigError, StudyError
from sr3.serving.request_limits import RequestLimits
from sr3.study.settings import StudyConfig
from sr3.study.store import Answer, Choice, Layout
from sr3.study.subject_session import Slot, Study, open_study

try:
    from fastapi import Cookie, FastAPI, HTTPException, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    from sr3.serving.server import Server, open_listener
except ImportError as error:
    raise ConfigError("a study needs fastapi and uvicorn: pip install 'sr3[web]'") from error

__all__ = ["Server", "build_app", "open_server"]

_COOKIE = "sr3_study"
_COOKIE_AGE = 30 * 24 * 3600  # seconds
_KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Seconds = Annotated[float, Field(ge=0, le=1e6)]
Subject = Annotated[str, Cookie(alias=_COOKIE)]


class Answered(Settings):
    """Request body of a choice; times in seconds."""

    choice: Choice
    exposure: Seconds
    frame: Seconds
    response: Seconds
    layout: Layout
    width: Annotated[float, Field(ge=0, le=1e5)]
    density: Annotated[float, Field(gt=0, le=100)]

    def answer(self) -> Answer:
        """Convert it to the type of the store."""
        return Answer(**self.model_dump())


class Sent(Settings):
    """Request body with a random nonce, so that a repeated request counts once."""

    nonce: Annotated[str, Field(min_length=16, max_length=64)]


def open_server(config: StudyConfig, *, host: str, port: int) -> Server:
    """Check a study and bind to an address; port 0 is any free port. Raises StudyError when the address is in use."""
    study = open_study(config)
    try:
        listener = open_listener(host, port)
    except ConfigError as error:
        study.store.close()
        raise StudyError(str(error)) from error
    return Server(build_app(study), listener)


def build_app(study: Study) -> FastAPI:
    """Build the application of a study."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_page(app)
    _add_session(app, study)
    _add_pair(app, study)

    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_middleware(RequestLimits)

    @app.middleware("http")
    async def guard(  # pyright: ignore[reportUnusedFunction]
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    return app


def _refuse(_request: Request, _error: Exception) -> Response:
    """Respond to invalid input without repeating it: it may contain values that JSON lacks, such as NaN."""
    return Response(status_code=422)


def _add_page(app: FastAPI) -> None:
    folder = files("sr3.study") / "page"
    for route, name in (("/", "index.html"), ("/page.css", "page.css"), ("/page.js", "page.js")):
        text, kind = (folder / name).read_bytes(), _KINDS[name.rpartition(".")[2]]
        app.add_api_route(route, _sender(text, kind), methods=["GET"])
    app.add_api_route("/favicon.ico", _sender(b"", "image/x-icon"), methods=["GET"])


def _sender(content: bytes, kind: str) -> Callable[[], Response]:
    def send() -> Response:
        return Response(content, media_type=kind)

    return send


def _add_session(app: FastAPI, study: Study) -> None:
    page = study.config.page

    def texts() -> Response:
        paragraphs = [" ".join(part.split()) for part in page.consent.split("\n\n")]
        return JSONResponse({"title": page.title, "contact": page.contact, "consent": paragraphs})

    def state(subject: Subject = "") -> Response:
        return _state(study, subject)

    def consent(request: Request, sent: Sent, subject: Subject = "") -> Response:
        token = study.consent(subject, nonce=sent.nonce)
        response = _state(study, token)
        secure = request.url.scheme == "https"
        response.set_cookie(_COOKIE, token, max_age=_COOKIE_AGE, httponly=True, samesite="strict", secure=secure)
        return response

    def withdraw(subject: Subject = "") -> Response:
        study.withdraw(subject)
        response = _state(study, "")
        response.delete_cookie(_COOKIE)
        return response

    app.add_api_route("/api/page", texts, methods=["GET"])
    app.add_api_route("/api/state", state, methods=["GET"])
    app.add_api_route("/api/consent", consent, methods=["POST"])
    app.add_api_route("/api/withdraw", withdraw, methods=["POST"])


def _add_pair(app: FastAPI, study: Study) -> None:
    def picture(pair: str, slot: Slot, subject: Subject = "") -> Response:
        png = study.picture(subject, pair, slot)
        if png is None:
            raise HTTPException(404)
        return Response(png, media_type="image/png")

    def view(pair: str, sent: Sent, subject: Subject = "") -> Response:
        if not study.view(subject, pair, nonce=sent.nonce):
            raise HTTPException(409)
        return Response(status_code=204)

    def answer(pair: str, answered: Answered, subject: Subject = "") -> Response:
        if not study.answer(subject, pair, answered.answer()):
            raise HTTPException(409)
        return _state(study, subject)

    app.add_api_route("/api/pairs/{pair}/{slot}", picture, methods=["GET"])
    app.add_api_route("/api/pairs/{pair}/view", view, methods=["POST"])
    app.add_api_route("/api/pairs/{pair}/answer", answer, methods=["POST"])


def _state(study: Study, subject: str) -> JSONResponse:
    return JSONResponse(asdict(study.state(subject)))
