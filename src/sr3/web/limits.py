"""Limits of a server on what a request may ask for and on what may wait."""

from dataclasses import dataclass

__all__ = ["Limits"]

_SESSIONS = 8


@dataclass(frozen=True)
class Limits:
    """Maxima of a server.

    pixels: of a result, width times height. bytes: of an uploaded file. waiting: jobs of one session. samples: per job.
    stored: jobs whose files are kept at the same time, of all sessions. seconds: how long a job that has ended is kept
    after it was asked for last. absence: seconds without request and event stream after which a session has gone.
    """

    pixels: int = 2**26
    bytes: int = 2**28
    waiting: int = 16
    samples: int = 16
    stored: int = 256
    seconds: float = 3600.0
    absence: float = 10.0

    @property
    def waiting_in_all(self) -> int:
        """Waiting jobs of all sessions together."""
        return self.waiting * _SESSIONS
