"""Warnings recorded by thread, which `warnings.catch_warnings` does for the whole process at once.

Several threads may record at the same time. The filters of the process are put aside while any of them does.
"""

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["Recorded", "recorded_warnings"]

Recorded = list[Warning]
"""Warnings in the order in which they were given."""


class _Recorder:
    """The hook of the process, which is there while at least one thread records."""

    def __init__(self) -> None:
        self._lock, self._recording = threading.Lock(), 0
        self._thread = threading.local()
        self._caught = warnings.catch_warnings()
        self._shown = warnings.showwarning

    def lists(self) -> list[Recorded]:
        """Give the lists that this thread records into, the innermost last."""
        if not hasattr(self._thread, "lists"):
            self._thread.lists = []
        return self._thread.lists

    def begin(self) -> None:
        """Take over from the process's own hook."""
        with self._lock:
            self._recording += 1
            if self._recording == 1:
                self._caught, self._shown = warnings.catch_warnings(), warnings.showwarning
                self._caught.__enter__()
                warnings.simplefilter("always")
                warnings.showwarning = self._take

    def end(self) -> None:
        """Give the hook back when no other thread records."""
        with self._lock:
            self._recording -= 1
            if self._recording == 0:
                self._caught.__exit__(None, None, None)

    def _take(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if lists := self.lists():
            lists[-1].append(message if isinstance(message, Warning) else category(message))
        else:
            self._shown(message, category, filename, lineno, file, line)


_RECORDER = _Recorder()


@contextmanager
def recorded_warnings() -> Generator[Recorded]:
    """Record the warnings that this thread gives, and show none of them. Inside another, the inner one records."""
    caught: Recorded = []
    _RECORDER.begin()
    lists = _RECORDER.lists()
    lists.append(caught)
    try:
        yield caught
    finally:
        lists.pop()
        _RECORDER.end()
