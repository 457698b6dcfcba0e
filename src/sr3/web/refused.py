"""A refused request: a status of HTTP and one line that says what, where and what to do."""

__all__ = ["Refused"]


class Refused(Exception):
    """A request that is answered by an error of this status."""

    def __init__(self, status: int, detail: str) -> None:
        """Take the status and the line."""
        super().__init__(detail)
        self.status, self.detail = status, detail
