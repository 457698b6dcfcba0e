"""A real server of a study in a process of its own, for tests that kill it or look at it with a browser."""

import os
import signal
import subprocess
import sys
from pathlib import Path


class Serving:
    """`sr3 study serve` as a process; leaving kills it."""

    def __init__(self, config: Path, *, port: int = 0):
        command = [sys.executable, "-m", "sr3", "study", "serve", "--config", str(config), "--port", str(port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[0]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
