"""A manifest of upscaled files: one line of JSON per file, written as each is done, and read to resume.

A line has `input`, `target`, `sha256` of the input, `model`, `model_sha256`, `dtype`, `seed`, `settings`, `outputs`,
`size_in` and `size_out` (width and height), `seconds`, `strength`, how strongly the input was cleaned, null if the
model does not clean, `error`, null where there was none, and `finished` (UTC, ISO 8601). Paths are absolute. A later
line replaces an earlier one of the same input and target. Several processes may append to one file.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sr3.digest import digest_of
from sr3.errors import ImageError
from sr3.parsing import parse_json
from sr3.upscaling.naming import Job

__all__ = ["Manifest"]

_BEGINNING = '{"input": '
"""What every line begins with, so that one that was cut short is known from what is no manifest."""


class Manifest:
    """The lines of a manifest, and what new results are made by."""

    def __init__(self, path: Path, made_by: Mapping[str, Any]) -> None:
        """Read the lines of earlier runs; ImageError for a file that is no manifest or cannot be written to.

        made_by: what decides a result beside its input, in the types of JSON: `model`, `model_sha256`, `dtype`, `seed`
        and `settings`.
        """
        self._path = path
        self._made_by: dict[str, Any] = json.loads(json.dumps(made_by))
        self._done: dict[tuple[str, str], dict[str, Any]] = {}
        self._failed: set[tuple[str, str]] = set()
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            self._needs_newline = bool(text) and not text.endswith("\n")  # of a process that was killed while it wrote
            with path.open("a", encoding="utf-8"):
                pass
        except (OSError, UnicodeDecodeError) as error:
            raise ImageError(f"{path}: cannot be used as a manifest ({error}); name another file") from error
        for number, line in enumerate(text.split("\n"), start=1):
            if line:
                self._read(line, number)

    def _read(self, line: str, number: int) -> None:
        """Take a line; one that was cut short by a kill is passed over."""
        try:
            found = dict(parse_json(line))
            key, error = (os.path.abspath(found["input"]), os.path.abspath(found["target"])), found["error"]
        except (ValueError, TypeError, KeyError) as error:
            if line.startswith(_BEGINNING) or _BEGINNING.startswith(line):
                return
            raise ImageError(
                f"{self._path}: line {number} is not a manifest record ({error}); name another file"
            ) from error
        if error is None:
            self._done[key] = found
            self._failed.discard(key)
        else:
            self._failed.add(key)

    def is_outdated(self, job: Job) -> bool:
        """Return whether the results of a job were written by an earlier run, but from another input or otherwise.

        They count as such also where a later run failed, which may have replaced some of them.
        """
        key = _key(job)
        line = self._done.get(key)
        if line is None:
            return False
        same = all(line.get(name) == value for name, value in self._made_by.items())
        return key in self._failed or not same or line["sha256"] != _digest(job.source)

    def note_done(
        self,
        job: Job,
        outputs: tuple[Path, ...],
        *,
        sizes: tuple[tuple[int, int], tuple[int, int]],
        seconds: float,
        strength: float | None = None,
    ) -> None:
        """Write that a job was done."""
        found = {"outputs": [os.path.abspath(path) for path in outputs], "size_in": sizes[0], "size_out": sizes[1]}
        cleaned = None if strength is None else round(strength, 3)
        self._append(job, **found, seconds=round(seconds, 3), strength=cleaned, error=None)

    def note_failed(self, job: Job, reason: str) -> None:
        """Write that a job failed, and why."""
        self._append(job, outputs=[], size_in=None, size_out=None, seconds=None, strength=None, error=reason)

    def _append(self, job: Job, **found: object) -> None:
        source, target = _key(job)
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"input": source, "target": target, "sha256": _digest(job.source), **self._made_by, **found}
        text = json.dumps({**line, "finished": finished}) + "\n"  # ASCII, whatever bytes a name has
        data = ("\n" if self._needs_newline else "").encode() + text.encode()
        self._needs_newline = False
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, data)  # at once, so that lines of several processes do not mix
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _key(job: Job) -> tuple[str, str]:
    return os.path.abspath(job.source), os.path.abspath(job.target)


def _digest(path: Path) -> str | None:
    """Take the SHA-256 of a file; None where it cannot be read, which the job says itself."""
    try:
        return digest_of(path)
    except OSError:
        return None
