"""What a server of a study is protected by: slow heads and bodies, and too many requests of one address."""

import asyncio
import socket
import threading
import time

import pytest
import uvicorn

from sr3.serving import header_timeout, request_limits
from sr3.serving.request_limits import MOST_A_MINUTE, MOST_NEW_A_MINUTE, RequestLimits


async def application(_scope, receive, send):
    """Reads the body and answers with its length."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": f"{size:02}".encode()})


def ask(bounded, *, method="POST", address="192.0.2.1", cookie=True, parts=((b"ab", 0.0),)):
    """Send a request whose body comes in parts, each after so many seconds; returns the status."""
    left, statuses = list(parts), []

    async def receive():
        body, seconds = left.pop(0)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message):
        statuses.append(message.get("status"))

    headers = [(b"cookie", b"sr3_study=x")] if cookie else []
    scope = {"type": "http", "method": method, "headers": headers, "client": (address, 1234)}
    asyncio.run(bounded(scope, receive, send))
    return statuses[0]


@pytest.mark.slow
def test_a_body_that_comes_slowly_is_answered_with_408(monkeypatch):
    monkeypatch.setattr(request_limits, "SECONDS", 0.2)
    assert ask(RequestLimits(application), parts=[(b"a", 0.05), (b"b", 0.05)]) == 200
    assert ask(RequestLimits(application), parts=[(b"a", 0.05), (b"b", 5)]) == 408
    assert ask(RequestLimits(application), parts=[(b"a", 0.08)] * 5) == 408


@pytest.mark.slow
def test_an_address_that_sends_more_than_a_room_of_subjects_is_answered_with_429(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 600.0)
    bounded = RequestLimits(application)
    assert [ask(bounded, cookie=False) for _ in range(MOST_NEW_A_MINUTE + 1)] == [200] * MOST_NEW_A_MINUTE + [429]
    rest = MOST_A_MINUTE - MOST_NEW_A_MINUTE - 1
    assert {ask(bounded) for _ in range(rest)} == {200}
    assert ask(bounded) == 429
    assert ask(bounded, address="192.0.2.2") == 200
    assert ask(bounded, method="GET") == 200
    monkeypatch.setattr(time, "monotonic", lambda: 661.0)
    assert ask(bounded) == 200


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(header_timeout, "SECONDS", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=header_timeout.HeaderTimeout, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


@pytest.mark.slow
def test_a_head_that_does_not_come_closes_the_connection_and_others_are_served(port):
    with socket.create_connection(("127.0.0.1", port)) as silent, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        with socket.create_connection(("127.0.0.1", port)) as kept:
            for _ in range(2):  # the second after a pause that is longer than a head may take
                kept.settimeout(5)
                kept.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = b""
                while not answer.endswith(b"\r\n\r\n00"):  # head and body may come apart
                    part = kept.recv(1000)
                    assert part
                    answer += part
                assert answer.startswith(b"HTTP/1.1 200")
                time.sleep(0.8)
            kept.sendall(b"GET / HTTP/1.1\r\nHo")
            assert _is_closed(kept)
        assert _is_closed(silent)
        assert _is_closed(slow)


def _is_closed(connection):
    """Whether the other side closes within five seconds, whatever it says before."""
    connection.settimeout(5)
    try:
        while connection.recv(1000):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True
