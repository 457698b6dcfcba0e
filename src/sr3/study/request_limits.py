"""Limits on the requests to a study server: size, time and rate. Does not depend on the study."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

__all__ = ["MOST_A_MINUTE", "MOST_BYTES", "MOST_NEW_A_MINUTE", "RequestLimits"]

MOST_BYTES = 64 * 1024
"""Maximum size of the body of a request; the page sends less than one thousand bytes."""

SECONDS = 15.0
"""Time limit for the body of a request."""

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
    """Middleware: responds 413 to a large body, 408 to one slower than `SECONDS`, and 429 to too many requests."""

    def __init__(self, app: App) -> None:
        """Wrap an application."""
        self._app, self._counts = app, _Counts()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _claimed(scope) > MOST_BYTES:
            await _refuse(send, 413)
            return
        if self._counts.is_too_many(scope):
            await _refuse(send, 429)
            return
        answered = False

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, _counted(receive), noted)
        except _Refused as refused:
            if not answered:
                await _refuse(send, refused.status)


def _counted(receive: Receive) -> Receive:
    """Pass on a body until it exceeds the limit of size or time."""
    seen, is_whole, until = 0, False, time.monotonic() + SECONDS

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
        if seen > MOST_BYTES:
            raise _Refused(413)
        return message

    return counted


def _claimed(scope: Message) -> int:
    """Read the content length; 0 when it is missing or invalid."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


async def _refuse(send: Send, status: int) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
