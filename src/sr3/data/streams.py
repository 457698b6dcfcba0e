"""Training images as streams: shards read sequentially from disk, a network or a pipe (WebDataset).

A stream knows its shards and reads each from its beginning; which shard when, and by whom, is `lanes`' business.
"""

import os
import signal
import subprocess
import tarfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import IO, NamedTuple, Protocol, cast, runtime_checkable

from sr3.data.members import CheckedHeader, check_member, class_number, is_class, is_low, is_picture, key_of, printable
from sr3.data.sources import Encoded
from sr3.errors import DataError

__all__ = ["Broken", "Stream", "TarStream"]

PIPE = "pipe:"
"""Before a shell command that writes a shard to its standard output."""

_ATTEMPTS = 3
_DAMAGE = (OSError, tarfile.TarError, EOFError, ValueError, OverflowError)
_CLOSED_PIPE = (0, -13, 141)
"""What a command ends with that is well, or whose pipe was closed before it had written all."""
_WAIT = 1.0
"""Seconds before the second attempt to read a shard; then twice, four times as long."""


class Broken(NamedTuple):
    """The rest of a shard, or one of its samples, that cannot be read: for the count of what is left out."""

    name: str
    reason: str


@runtime_checkable
class Stream(Protocol):
    """Shards of encoded images."""

    @property
    def shards(self) -> Sequence[str]:
        """Name the shards."""
        ...

    def read(self, shard: int, skip: int = 0) -> Iterator[Encoded | Broken]:
        """Read a shard in order from an image on; one that is broken counts. DataError when it cannot be opened."""
        ...

    def reopened(self) -> "Stream":
        """Return the same shards, to be read and closed apart from these."""
        ...

    def close(self) -> None:
        """End what is being read, in whatever thread; nothing can be read after."""
        ...


@dataclass(frozen=True)
class TarStream:
    """Tar shards, compressed or not: files, addresses that fsspec knows, or `pipe:` and a shell command."""

    shards: Sequence[str]
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set[subprocess.Popen[bytes]], compare=False)
    _closed: Event = field(default_factory=Event, compare=False)

    def read(self, shard: int, skip: int = 0) -> Iterator[Encoded | Broken]:
        """Read a shard; over a network, one that breaks off is opened again twice before its rest is given up."""
        where, number, reason = self.shards[shard], 0, ""
        for attempt in range(_ATTEMPTS):
            try:
                for number, sample in enumerate(self._samples(where), start=1):
                    if number > skip:
                        yield sample
                        skip = number
                return
            except DataError:
                raise
            except Exception as error:  # networks raise errors of many kinds
                if _is_missing(error):
                    raise DataError(f"{where}: there is no such file; check the path or address") from error
                if not ("://" in where or isinstance(error, _DAMAGE)):
                    raise
                reason = " ".join(str(error).split()) or type(error).__name__
            if self._closed.is_set():
                raise DataError(f"{where}: reading has been ended")
            if attempt + 1 < _ATTEMPTS and "://" in where:
                self._closed.wait(_WAIT * 2**attempt)
            else:
                break
        if number == 0 and len(self.shards) == 1:
            raise DataError(f"{where}: cannot be read as a tar shard ({reason}); check it with `tar tf`")
        yield Broken(f"{where}, all after {max(skip, number)} images", reason)

    def reopened(self) -> "TarStream":
        """Return the same shards, to be read and closed apart from these."""
        return TarStream(self.shards)

    def close(self) -> None:
        """End the commands that are running, with all they have started."""
        self._closed.set()
        for process in list(self._running):
            _kill(process)

    def _samples(self, where: str) -> Iterator[Encoded | Broken]:
        if self._closed.is_set():
            raise DataError(f"{where}: reading has been ended")
        opened = self._pipe(where.removeprefix(PIPE)) if where.startswith(PIPE) else _open(where)
        with opened as file:
            yield from _samples(where, file)

    @contextmanager
    def _pipe(self, command: str) -> Generator[IO[bytes]]:
        """Run a shell command and read what it writes; OSError when it failed and what it wrote was read to its end.

        It has a process group of its own, so that it is ended by `close` and not by the keyboard.
        """
        with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, start_new_session=True) as process:
            self._running.add(process)
            output = cast(IO[bytes], process.stdout)
            try:
                yield output
            except (tarfile.TarError, EOFError) as error:  # of a command that failed, its failure says more
                output.close()
                if process.wait() not in _CLOSED_PIPE:
                    raise OSError(f"the command ended with {process.returncode}") from error
                raise
            except BaseException:
                _kill(process)
                raise
            finally:
                self._running.discard(process)
            while output.read(1 << 16):  # the zeros after the last member
                pass
        if process.returncode:
            raise OSError(f"the command ended with {process.returncode}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def _is_missing(error: Exception) -> bool:
    """Return whether there is no such file; fsspec says so of every address that cannot be reached, too."""
    if not isinstance(error, FileNotFoundError):
        return False
    cause = error.__cause__
    return cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410)


def _samples(where: str, file: IO[bytes]) -> Iterator[Encoded | Broken]:
    """Join the members of each sample, which lie next to each other."""
    key, files = "", dict[str, bytes]()
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=CheckedHeader) as tar:
        for entry in tar:
            if not entry.isfile() or not (is_picture(entry.name) or is_class(entry.name)):
                continue
            if key_of(entry.name) != key:
                yield from _sample(where, files)
                key, files = key_of(entry.name), {}
            check_member(entry)
            content = tar.extractfile(entry)
            files[entry.name] = content.read() if content else b""
        yield from _sample(where, files)


def _sample(where: str, files: dict[str, bytes]) -> Iterator[Encoded | Broken]:
    """Create the images of a sample: usually one, with its class and its low-resolution version."""
    label = next((data for name, data in files.items() if is_class(name)), None)
    low = next((data for name, data in files.items() if is_low(name)), None)
    for name, data in files.items():
        if is_picture(name) and not is_low(name):
            shown = f"{where}:{printable(name)}"
            try:
                yield Encoded(shown, data, class_number(label, "its class"), low)
            except DataError as error:
                yield Broken(shown, str(error))


@contextmanager
def _open(where: str) -> Generator[IO[bytes]]:
    if "://" not in where:
        with open(where, "rb") as file:
            yield file
        return
    try:
        import fsspec

        remote = fsspec.open(where, "rb")
    except ImportError as error:
        raise DataError(f"{where}: needs another package ({error}); pip install 'sr3[train]', or that one") from error
    except ValueError as error:
        raise DataError(f"{where}: fsspec does not support this kind of address ({error}); use another") from error
    with remote as file:
        yield cast(IO[bytes], file)
