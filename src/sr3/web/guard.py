"""Middleware that decides who may ask: host, origin and token; and the headers of every response."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from sr3.serving.request_limits import App, Message, Receive, Send

__all__ = ["COOKIE", "Access", "Guard", "is_local"]

COOKIE = "sr3_web"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    return host in _LOCAL


@dataclass(frozen=True)
class Access:
    """Who may ask.

    hosts: names that the header Host may have, so that no other name can be made to lead here (DNS rebinding); empty
    for any. token: what a request must carry; empty for none. frames: origins whose pages may embed this one.
    """

    hosts: tuple[str, ...] = _LOCAL
    token: str = ""
    frames: tuple[str, ...] = ()


class Guard:
    """Answers 400 to a foreign host, 403 to a request of another site, and 401 to one without the token."""

    def __init__(self, app: App, access: Access) -> None:
        """Wrap an application."""
        self._app, self._access, self._headers = app, access, _headers(access.frames)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", ())}
                added = [(name, value) for name, value in self._headers if name not in given]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := self._refusal(scope, headers):
            await _respond(with_headers, *refusal)
        elif self._gives_token(scope):
            await _set_cookie(with_headers, self._access.token, scope)
        elif not self._has_token(headers):
            detail = "this server needs a token; open the address that it printed, or send Authorization: Bearer TOKEN"
            await _respond(with_headers, 401, detail)
        else:
            await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._access.hosts and _name_of(host) not in self._access.hosts:
            return 400, "the host name in the address is not that of this server; use the address that it printed"
        if scope["method"] not in _SAFE:
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:
                return 403, "another site may not send anything here; use the page of this server"
            if headers.get("sec-fetch-site") == "cross-site":
                return 403, "another site may not send anything here; use the page of this server"
        return None

    def _gives_token(self, scope: Message) -> bool:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        return bool(self._access.token) and scope["path"] == "/" and self._is_token(given)

    def _has_token(self, headers: dict[str, str]) -> bool:
        if not self._access.token:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._access.token.encode())


def _name_of(host: str) -> str:
    """Take the port off the value of the header Host, and the brackets off an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _headers(frames: Sequence[str]) -> list[tuple[bytes, bytes]]:
    ancestors = " ".join(frames) or "'none'"
    policy = (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        f"frame-ancestors {ancestors}; base-uri 'none'; form-action 'self'"
    )
    headers = {
        "cache-control": "no-store",
        "content-security-policy": policy,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _respond(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # the rest of the request is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _set_cookie(send: Send, token: str, scope: Message) -> None:
    """Keep the token in a cookie, and lead to the page without it in the address."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
    headers = [(b"location", b"./"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
