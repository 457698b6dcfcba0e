"""A queue that takes from each session in turn, so that nobody waits for all that another has uploaded."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items by session, in order within a session. Not safe for threads: its owner holds a lock."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        """Count all items."""
        return sum(map(len, self._waiting.values()))

    def count(self, session: str) -> int:
        """Count the items of a session."""
        return len(self._waiting.get(session, ()))

    def add(self, session: str, item: T) -> None:
        """Append an item to those of a session; a session that had none is served last."""
        self._waiting.setdefault(session, deque()).append(item)

    def take(self) -> T | None:
        """Remove and return the next item, and serve its session last from now on; None when there is none."""
        if not self._waiting:
            return None
        session, items = next(iter(self._waiting.items()))
        item = items.popleft()
        del self._waiting[session]
        if items:
            self._waiting[session] = items
        return item

    def remove(self, session: str, item: T) -> bool:
        """Remove an item, and return whether it was there."""
        items = self._waiting.get(session)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._waiting[session]
        return True

    def in_order(self) -> list[T]:
        """List all items in the order in which they will be taken if none is added."""
        columns = [list(items) for items in self._waiting.values()]
        longest = max(map(len, columns), default=0)
        return [items[k] for k in range(longest) for items in columns if k < len(items)]
