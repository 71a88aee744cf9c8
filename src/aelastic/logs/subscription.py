"""A consumer's own bounded view of something that goes on whether it is consumed or not."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")


class Waiting(Protocol[_T]):
    """A queue of what has yet to be consumed: a deque, or something that keeps less."""

    def extend(self, items: Iterable[_T], /) -> None:
        """Add ``items`` at the end."""

    def popleft(self) -> _T:
        """Take the first one away."""

    def __len__(self) -> int: ...


class Subscription(Generic[_T]):
    """An async iterator over what is published from now on. For one consuming task.

    At most ``capacity`` items wait to be consumed; then the oldest are dropped, and ``dropped`` says how many so far.
    Iteration ends when the source ends, or after ``close()``. Items may come ``max_delay`` seconds late.
    """

    def __init__(self, capacity: int, waiting: Waiting[_T] | None = None, max_delay: float = 0.0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: expected at least 1, got {capacity}")
        if not max_delay >= 0:
            raise ValueError(f"max_delay: expected 0 seconds or more, got {max_delay}")
        self.capacity = capacity
        self.max_delay = max_delay
        self.dropped = 0
        self.closed = False
        self._waiting: Waiting[_T] = deque() if waiting is None else waiting
        self._consumer: asyncio.Future[None] | None = None

    def publish(self, *items: _T, missed: int = 0) -> None:
        """Give ``items`` to the consumer, who has ``missed`` some before them already. For the source."""
        if not self.closed:
            self.dropped += missed
            self._waiting.extend(items)
            while len(self._waiting) > self.capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._wake()

    def take(self) -> list[_T]:
        """Consume at once all that is waiting, without waiting for more."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def close(self) -> None:
        """Publish nothing more; what is waiting can still be consumed."""
        self.closed = True
        self._wake()

    def __aiter__(self) -> Subscription[_T]:
        return self

    async def __anext__(self) -> _T:
        while not self._waiting:
            if self.closed:
                raise StopAsyncIteration
            self._consumer = asyncio.get_running_loop().create_future()
            try:
                await self._consumer
            finally:
                self._consumer = None
        return self._waiting.popleft()

    def _wake(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)


class Relay(Subscription[_T]):
    """Passes on what is published to it, at once: ``forward`` gets the items and how many it has missed before them.

    It says whether it wants more.
    """

    def __init__(self, capacity: int, forward: Callable[[tuple[_T, ...], int], bool], max_delay: float = 0.0) -> None:
        super().__init__(capacity, max_delay=max_delay)
        self._forward = forward

    def publish(self, *items: _T, missed: int = 0) -> None:
        """Pass on."""
        if not self.closed and not self._forward(items, missed):
            self.close()
