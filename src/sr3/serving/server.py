"""An application that is bound to an address, and served by uvicorn until a signal ends it."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from sr3.errors import ConfigError
from sr3.serving.header_timeout import HeaderTimeout

__all__ = ["Server", "open_listener"]

_MOST_CONNECTIONS = 512
_SECONDS_TO_END = 3  # for open responses, of which event streams end only with their readers


@dataclass(frozen=True)
class Server:
    """A server that is bound to its address and starts with `run`.

    before_end: called when a signal has come, before open responses are waited for.
    """

    app: FastAPI
    listener: socket.socket
    before_end: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self.listener.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            http=HeaderTimeout,  # based on h11, which limits the size of headers
            h11_max_incomplete_event_size=16 * 1024,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        _Serving(config, self.before_end).run(sockets=[self.listener])


class _Serving(uvicorn.Server):
    """uvicorn's server, with a function that lets open responses end."""

    def __init__(self, config: uvicorn.Config, before_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_end = before_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let open responses end, and wait for them."""
        self._before_end()
        await super().shutdown(sockets)


def open_listener(host: str, port: int) -> socket.socket:
    """Bind to an address; port 0 is any free port. Raises ConfigError when the address is in use or not there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port}: cannot bind to this address ({error.strerror}); give another --port"
        ) from error
