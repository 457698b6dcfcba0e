"""Limits on the requests to a server: size, time and rate. Does not depend on what it serves."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

__all__ = ["MOST_A_MINUTE", "MOST_BYTES", "MOST_NEW_A_MINUTE", "RequestLimits"]

MOST_BYTES = 64 * 1024
"""Maximum size of the body of a request that uploads no file; pages send less than one thousand bytes."""

SECONDS = 15.0
"""Time limit for the body of a request, without that for a length that it announces."""

SLOWEST = 100_000.0
"""Bytes per second of the announced length, by which the time limit is extended."""

MOST_A_MINUTE = 3000
"""Maximum number of state-changing requests per address. A subject sends two per pair, so a hundred subjects may share
one address."""

MOST_NEW_A_MINUTE = 300
"""Maximum number of these without a cookie, each of which creates a subject."""

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class _Refused(Exception):
    """A request was refused before its body was read completely."""


class _Counts:
    """Requests per address in the current minute."""

    def __init__(self, most_new: int) -> None:
        self._most_new = most_new
        self._minute, self._seen = 0, Counter[tuple[str, bool]]()

    def is_too_many(self, scope: Message) -> bool:
        """Count a state-changing request, and return whether its address has exceeded the limit."""
        if scope["method"] in ("GET", "HEAD"):
            return False
        minute = int(time.monotonic() / 60)
        if minute != self._minute:
            self._minute, self._seen = minute, Counter[tuple[str, bool]]()
        address = str((scope.get("client") or ("",))[0])
        is_new = not any(name == b"cookie" for name, _ in scope["headers"])
        self._seen[address, False] += 1
        self._seen[address, True] += is_new
        return self._seen[address, False] > MOST_A_MINUTE or (is_new and self._seen[address, True] > self._most_new)


class RequestLimits:
    """Middleware: responds 413 to a large body, 408 to a slow one, and 429 to too many requests.

    most_bytes: maximum size of a body by method and path. most_new: maximum number per minute of state-changing
    requests without a cookie. reasons: by status what a JSON response says as its `detail`; a response without a reason
    has no body.
    """

    def __init__(
        self,
        app: App,
        *,
        most_bytes: Callable[[str, str], int] = lambda _method, _path: MOST_BYTES,
        most_new: int = MOST_NEW_A_MINUTE,
        reasons: Mapping[int, str] | None = None,
    ) -> None:
        """Wrap an application."""
        self._app, self._most_bytes, self._reasons = app, most_bytes, reasons or {}
        self._counts = _Counts(most_new)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most_bytes(scope["method"], scope.get("path", ""))
        if _claimed(scope) > most:
            await self._refuse(send, 413)
            return
        if self._counts.is_too_many(scope):
            await self._refuse(send, 429)
            return
        body, answered = _Body(receive, most, SECONDS + _claimed(scope) / SLOWEST), False

        async def noted(message: Message) -> None:
            nonlocal answered
            if answered or body.refused is None:  # else the application answers what it could not read
                answered = True
                await send(message)

        with suppress(_Refused):
            await self._app(scope, body, noted)
        if body.refused is not None and not answered:
            await self._refuse(send, body.refused)

    async def _refuse(self, send: Send, status: int) -> None:
        reason = self._reasons.get(status)
        body = b"" if reason is None else json.dumps({"detail": reason}).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        if body:
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Body:
    """Passes on a body until it exceeds the limit of size or time; refused is then the status of the response."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self.refused: int | None = None
        self._receive, self._most, self._until = receive, most, time.monotonic() + seconds
        self._seen, self._is_whole = 0, False

    async def __call__(self) -> Message:
        """Receive the next part."""
        if self._is_whole:
            return await self._receive()  # only the disconnect event is left
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            raise self._refusal(408) from None
        self._seen += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._seen > self._most:
            raise self._refusal(413)
        return message

    def _refusal(self, status: int) -> _Refused:
        self.refused = status
        return _Refused()


def _claimed(scope: Message) -> int:
    """Read the content length; 0 when it is missing or invalid."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
