"""The count of unusable images that were skipped: named, and up to a limit."""

from threading import Lock

from sr3.errors import DataError, UnusableError

__all__ = ["UnusableImages"]

_SHOWN = 5


class UnusableImages:
    """Counts images that were left out, each once.

    limit: so many are allowed.
    """

    def __init__(self, limit: int = 0) -> None:
        """Begin at none."""
        self.limit = limit
        self._complaints: dict[str, str] = {}
        self._reported = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """Count them."""
        return len(self._complaints)

    def note(self, name: str, error: UnusableError) -> None:
        """Leave an image out; DataError when that is one too many."""
        with self._lock:
            self._complaints[name] = str(error)
            count, shown = len(self._complaints), list(self._complaints.values())[:_SHOWN]
        if count > self.limit:
            if self.limit == 0:
                raise DataError(f"{error}; or leave it out: --set data.max_unusable=1 or more")
            raise DataError(
                f"{count} images cannot be used, more than data.max_unusable ({self.limit}): {'; '.join(shown)}"
                f"{'; …' if count > _SHOWN else ''}"
            )

    def unreported(self) -> list[str]:
        """Return the complaints since the last call."""
        with self._lock:
            fresh = list(self._complaints.values())[self._reported :]
            self._reported = len(self._complaints)
        return fresh
