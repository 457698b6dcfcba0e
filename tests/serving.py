"""A real server of a study in a process of its own, for tests that kill it or look at it with a browser."""

import signal
from pathlib import Path

from started import start


class Serving:
    """`sr3 study serve` as a process; leaving kills it."""

    def __init__(self, config: Path, *, port: int = 0):
        self.process = start("study", "serve", "--config", config, "--port", port)
        self.url = self.process.stdout.readline().split()[0]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)
        self.process.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
