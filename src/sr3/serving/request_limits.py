"""Limits on the requests to a server: size, time and rate. Does not depend on what it serves."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
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
    """A request was refused with a status before its body was read completely."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Counts:
    """Requests per address in the current minute."""

    def __init__(self) -> None:
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
        return self._seen[address, False] > MOST_A_MINUTE or (is_new and self._seen[address, True] > MOST_NEW_A_MINUTE)


class RequestLimits:
    """Middleware: responds 413 to a large body, 408 to a slow one, and 429 to too many requests.

    most_bytes: maximum size of a body by method and path. reasons: by status what a JSON response says as its
    `detail`; a response without a reason has no body.
    """

    def __init__(
        self,
        app: App,
        *,
        most_bytes: Callable[[str, str], int] = lambda _method, _path: MOST_BYTES,
        reasons: Mapping[int, str] | None = None,
    ) -> None:
        """Wrap an application."""
        self._app, self._most_bytes, self._reasons = app, most_bytes, reasons or {}
        self._counts = _Counts()

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
        answered = False

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            seconds = SECONDS + _claimed(scope) / SLOWEST
            await self._app(scope, _counted(receive, most, seconds), noted)
        except _Refused as refused:
            if not answered:
                await self._refuse(send, refused.status)

    async def _refuse(self, send: Send, status: int) -> None:
        reason = self._reasons.get(status)
        body = b"" if reason is None else json.dumps({"detail": reason}).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        if body:
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _counted(receive: Receive, most: int, seconds: float) -> Receive:
    """Pass on a body until it exceeds the limit of size or time."""
    seen, is_whole, until = 0, False, time.monotonic() + seconds

    async def counted() -> Message:
        nonlocal seen, is_whole
        if is_whole:
            return await receive()  # only the disconnect event is left
        try:
            message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise _Refused(408) from None
        seen += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if seen > most:
            raise _Refused(413)
        return message

    return counted


def _claimed(scope: Message) -> int:
    """Read the content length; 0 when it is missing or invalid."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
