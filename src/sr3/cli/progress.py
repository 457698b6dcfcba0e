"""Progress display: a bar with the remaining time on a terminal, plain lines otherwise."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sr3.duration import format_duration

__all__ = ["Display"]


class Display:
    """Displays the progress of a known amount of work."""

    def __init__(self, total: float, *, quiet: bool = False) -> None:
        """Create a bar for an amount of work; quiet shows only errors and warnings."""
        self._quiet = quiet
        self._total, self._first, self._completed, self._began = total, -1.0, 0.0, time.monotonic()
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(
            *columns, console=self._console, disable=quiet or not self._console.is_terminal, speed_estimate_period=3600
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def advance(self, description: str, completed: float) -> None:
        """Show the current item and the completed amount."""
        if self._first < 0:
            self._first, self._began = completed, time.monotonic()
        self._completed = completed
        self._bar.update(self._task, description=description, completed=completed)

    def time_left(self) -> str:
        """Estimate the remaining time from the work since the first call of `advance`."""
        done = self._completed - self._first
        if done <= 0:
            return "unknown time"
        return format_duration((time.monotonic() - self._began) / done * (self._total - self._completed))

    def say(self, line: str) -> None:
        """Print a line on stdout, above the bar."""
        if self._quiet:
            return
        if self._console.is_terminal and sys.stdout.isatty():
            self._write(line)
        else:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def complain(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        self._write(f"sr3: {line}")

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
