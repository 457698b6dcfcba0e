"""Training images as streams: shards read in order, from this machine, a network or a pipe (WebDataset).

A stream knows its shards and reads each from its beginning; which shard when, and by whom, is `lanes`' business.
"""

import subprocess
import tarfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, NamedTuple, Protocol, cast, runtime_checkable

from sr3.data.members import class_number, is_class, is_low, is_picture, key_of
from sr3.data.sources import Encoded
from sr3.errors import DataError

__all__ = ["Broken", "Stream", "TarStream"]

PIPE = "pipe:"
"""Before a shell command that writes a shard to its standard output."""

_ATTEMPTS = 3
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


@dataclass(frozen=True)
class TarStream:
    """Tar shards, compressed or not: files, addresses that fsspec knows, or `pipe:` and a shell command."""

    shards: Sequence[str]

    def read(self, shard: int, skip: int = 0) -> Iterator[Encoded | Broken]:
        """Read a shard; over a network, one that breaks off is opened again twice before its rest is given up."""
        where, number, reason = self.shards[shard], 0, ""
        for attempt in range(_ATTEMPTS):
            try:
                for number, sample in enumerate(_samples(where), start=1):
                    if number > skip:
                        yield sample
                        skip = number
                return
            except FileNotFoundError as error:
                raise DataError(f"{where}: there is no such file") from error
            except (OSError, tarfile.TarError, EOFError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
            if attempt + 1 < _ATTEMPTS and "://" in where:
                time.sleep(_WAIT * 2**attempt)
            else:
                break
        if number == 0:
            raise DataError(f"{where}: cannot be read as a tar shard ({reason}); check it with `tar tf`")
        yield Broken(f"{where}, all after {max(skip, number)} images", reason)


def _samples(where: str) -> Iterator[Encoded | Broken]:
    """Join the members of each sample, which lie next to each other."""
    key, files = "", dict[str, bytes]()
    with _open(where) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for entry in tar:
            if not entry.isfile() or not (is_picture(entry.name) or is_class(entry.name)):
                continue
            if key_of(entry.name) != key:
                yield from _sample(where, files)
                key, files = key_of(entry.name), {}
            content = tar.extractfile(entry)
            files[entry.name] = content.read() if content else b""
        yield from _sample(where, files)


def _sample(where: str, files: dict[str, bytes]) -> Iterator[Encoded | Broken]:
    """Make the images of a sample: usually one, with its class and its low-resolution version."""
    label = next((data for name, data in files.items() if is_class(name)), None)
    low = next((data for name, data in files.items() if is_low(name)), None)
    for name, data in files.items():
        if is_picture(name) and not is_low(name):
            try:
                yield Encoded(f"{where}:{name}", data, class_number(label, f"{where}:{name}"), low)
            except DataError as error:
                yield Broken(f"{where}:{name}", str(error))


@contextmanager
def _open(where: str) -> Generator[IO[bytes]]:
    if where.startswith(PIPE):
        with _pipe(where.removeprefix(PIPE)) as file:
            yield file
    elif "://" in where:
        try:
            import fsspec

            remote = fsspec.open(where, "rb")
        except ImportError as error:
            raise DataError(
                f"{where}: needs another package ({error}); pip install 'sr3[train]', or that one"
            ) from error
        except ValueError as error:
            raise DataError(f"{where}: is of a kind that fsspec does not know ({error})") from error
        with remote as file:
            yield cast(IO[bytes], file)
    else:
        with open(where, "rb") as file:
            yield file


@contextmanager
def _pipe(command: str) -> Generator[IO[bytes]]:
    """Run a shell command and read what it writes; OSError when it failed and what it wrote was read to its end."""
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE) as process:
        output = cast(IO[bytes], process.stdout)
        try:
            yield output
        except (tarfile.TarError, EOFError) as error:  # of a command that failed, its failure says more
            output.close()
            if process.wait() not in (0, -13, 141):  # not ended by our closing the pipe
                raise OSError(f"the command ended with {process.returncode}") from error
            raise
        except BaseException:
            process.kill()
            raise
        while output.read(1 << 16):  # the zeros after the last member
            pass
    if process.returncode:
        raise OSError(f"the command ended with {process.returncode}")
