"""The events of a job, for readers that may join late or come back."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from sr3.web.schema import EventKind

__all__ = ["Event", "EventLog", "beats"]

_ONLY_LATEST: tuple[EventKind, ...] = ("state", "progress", "preview")
_SECONDS = 5.0  # between comments by which a connection that is gone is noticed
_COMMENT = b": \n\n"


_Reader: TypeAlias = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Event(NamedTuple):
    """One event, as Server-Sent Events write it."""

    number: int
    kind: EventKind
    data: str

    def encoded(self) -> bytes:
        """Write it with its number, which a browser names when it reconnects."""
        return f"id: {self.number}\nevent: {self.kind}\ndata: {self.data}\n\n".encode()


class EventLog:
    """Events in order; of states, progress and previews only the latest is kept, so its size is bounded."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._count, self._ended = 0, False
        self._readers: set[_Reader] = set()

    def add(self, kind: EventKind, data: Any) -> None:  # noqa: ANN401 (whatever JSON holds)
        """Append an event and wake the readers; nothing follows an `end`."""
        with self._lock:
            if self._ended:
                return
            self._ended = kind == "end"
            self._count += 1
            if kind in _ONLY_LATEST:
                self._events = [event for event in self._events if event.kind != kind]
            self._events.append(Event(self._count, kind, json.dumps(data, ensure_ascii=False)))
            readers = list(self._readers)
        _wake(readers)

    def close(self) -> None:
        """Let all readers go, without an event."""
        with self._lock:
            self._ended = True
            readers = list(self._readers)
        _wake(readers)

    def after(self, number: int) -> tuple[list[Event], bool]:
        """Give the events after a number, and whether there will be no others."""
        with self._lock:
            return [event for event in self._events if event.number > number], self._ended

    async def read(self, number: int) -> AsyncIterator[bytes]:
        """Give the events after a number as they come, until the end; comments in between keep the connection."""
        reader = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._readers.add(reader)
        try:
            while True:
                reader[1].clear()
                events, ended = self.after(number)
                for event in events:
                    number = event.number
                    yield event.encoded()
                if ended:
                    return
                try:
                    await asyncio.wait_for(reader[1].wait(), _SECONDS)
                except TimeoutError:
                    yield _COMMENT
        finally:
            with self._lock:
                self._readers.discard(reader)


def _wake(readers: Iterable[_Reader]) -> None:
    for loop, woken in readers:
        with suppress(RuntimeError):  # a loop that was closed has no reader any more
            loop.call_soon_threadsafe(woken.set)


async def beats(is_closing: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Give comments for as long as the reader and the server are there."""
    while not is_closing():
        yield _COMMENT
        await asyncio.sleep(1.0)
