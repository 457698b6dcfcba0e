"""`sr3` in processes of their own that begin at once.

`python -m sr3` needs seconds of the processor before it does anything. Here one process loads torch and the package,
computes nothing, and each command is forked from it: with its own memory, environment and files, it takes signals and
can be killed as any other process.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TextIO

_LOADED = (
    "pytest",
    "torch.utils.data",
    "torch._inductor",  # which use_deterministic_algorithms imports, for two seconds
    "sr3.cli.app",
    "sr3.upscaling.jobs",
    "sr3.cli.progress",
    "sr3.training.plan",
    "sr3.training.advice",
    "sr3.training.loop",
    "sr3.sampling.upscaler",
    "sr3.study.server",
    "sr3.web.server",
)
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
FORKED = multiprocessing.get_context("forkserver")
"""Forks processes from one that has loaded the package."""
FORKED.set_forkserver_preload(list(_LOADED))


class Started:
    """A process with the methods of subprocess.Popen that tests use.

    What it says goes into pipes, or, where two files are named, is added to these.
    """

    def __init__(self, function: Callable[..., None], *arguments: object, files: Sequence[Path] = (), **place) -> None:
        pipes = [] if files else [FORKED.Pipe(duplex=False) for _ in range(2)]
        ours, theirs = [end for end, _ in pipes], [end for _, end in pipes]
        self._process = FORKED.Process(target=_enter, args=(theirs, files, place, function, arguments))
        with _one_thread():
            self._process.start()
        for end in theirs:
            end.close()
        self._files = [_text(end) for end in ours]
        self.pid = self._process.pid

    @property
    def stdout(self) -> TextIO:
        return self._files[0]

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the number of a signal, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end; what is said meanwhile must fit into a pipe."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("sr3", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        self.wait(timeout)
        said, errors = (file.read() for file in self._files)
        self.close()
        return said, errors

    def close(self) -> None:
        """Close our ends of the pipes."""
        for file in self._files:
            file.close()


def start(*arguments: object, **place) -> Started:
    """Begin a command of `sr3`. environment: all of it, cwd: its folder, files: where stdout and stderr go."""
    return Started(_command, *map(str, arguments), **place)


def run_script(path: Path, *arguments: object, **place) -> Started:
    """Begin a Python script."""
    return Started(_script, str(path), *map(str, arguments), **place)


def peak_memory(*arguments: object) -> int:
    """Run a command of `sr3` and return the bytes that it held at most, with those it shares with the first process.

    The C library gives arrays of 64 KiB and more back at once, as it does with arrays beyond 32 MiB, so the peak is
    that of what is held, and not of how the heap happens to be broken up.
    """
    process = Started(_measured, *map(str, arguments))
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return int(said.splitlines()[-1]) * 1024


def _enter(
    ends: Sequence[Connection],
    files: Sequence[Path],
    place: Mapping[str, object],
    function: Callable[..., None],
    arguments,
) -> None:
    """Take the place that a new process would have, and call the function."""
    for number, end in enumerate(ends, start=1):
        os.dup2(end.fileno(), number)
        end.close()
    for number, path in enumerate(files, start=1):
        with open(path, "ab") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    if "environment" in place:
        os.environ.clear()
        os.environ.update(place["environment"])
    tempfile.tempdir = None  # found again, by the environment
    os.chdir(place.get("cwd", os.getcwd()))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    function(*arguments)


def _command(*arguments: str) -> None:
    from sr3.__main__ import main

    sys.argv = ["sr3", *arguments]
    main()


def _script(path: str, *arguments: str) -> None:
    import runpy

    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def _measured(*arguments: str) -> None:
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 2**16)
    try:
        _command(*arguments)
    except SystemExit as end:
        sys.stdout.write(f"{getrusage(RUSAGE_SELF).ru_maxrss}\n")
        raise end from None


def _text(end: Connection) -> TextIO:
    file = os.fdopen(os.dup(end.fileno()), "r", encoding="utf-8")
    end.close()
    return file


class _one_thread:
    """Lets the first process, which begins with the first command, load torch for one thread."""

    def __enter__(self) -> None:
        self._before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = self._before
