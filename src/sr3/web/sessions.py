"""Sessions: the tabs and programs that use a server, and which of them have gone."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Sessions", "is_of_a_page"]

_PAGE = "tab:"


def is_of_a_page(session: str) -> bool:
    """Whether a session was named by its client; a client without a name is known by its address and never goes."""
    return session.startswith(_PAGE)


@dataclass
class _Session:
    seen: float = field(default_factory=time.monotonic)
    streams: int = 0
    has_presence: bool = False
    is_gone: bool = False


class Sessions:
    """When each session was seen last, and how many event streams it has open."""

    def __init__(self, absence: float) -> None:
        """Let a session count as gone after so many seconds without request and open event stream."""
        self._absence, self._lock = absence, threading.Lock()
        self._sessions: dict[str, _Session] = {}

    @staticmethod
    def named(name: str, address: str) -> str:
        """Name a session by what its client calls it, or by its address."""
        return f"{_PAGE}{name[:64]}" if name else f"address:{address}"

    def touch(self, session: str) -> None:
        """Note a request."""
        if is_of_a_page(session):
            with self._lock:
                found = self._sessions.setdefault(session, _Session())
                found.seen, found.is_gone = time.monotonic(), False

    @contextmanager
    def streaming(self, session: str, *, presence: bool = False) -> Generator[None]:
        """Count a session as present inside the block.

        presence: whether the stream stays open as long as the page does, so that its end ends the session.
        """
        self.touch(session)
        with self._lock:
            found = self._sessions.setdefault(session, _Session())
            found.streams += 1
            found.has_presence |= presence
        try:
            yield
        finally:
            with self._lock:
                found.streams -= 1
                found.seen = time.monotonic()

    def gone(self) -> tuple[set[str], set[str]]:
        """List the sessions that have gone, and those of them whose page was closed, whose files nobody can reach."""
        now = time.monotonic()
        with self._lock:
            gone = {
                name
                for name, found in self._sessions.items()
                if is_of_a_page(name) and found.streams == 0 and now - found.seen > self._absence
            }
            closed = {name for name in gone if self._sessions[name].has_presence}
            for name in closed:
                del self._sessions[name]
            for name in [n for n in gone - closed if now - self._sessions[n].seen > self._absence + 60]:
                del self._sessions[name]
        return gone, closed
