"""Facts on their way to the task that owns the state."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

LONGEST_WAIT = 1e8  # seconds; uvloop cannot wait for an infinite time

_T = TypeVar("_T")


class Mailbox(Generic[_T]):
    """A queue with one reader. ``put`` never waits; a wait of ``get`` has an end, without cancelling anybody."""

    def __init__(self) -> None:
        self._facts: deque[_T] = deque()
        self._reader: asyncio.Future[None] | None = None

    def put(self, fact: _T) -> None:
        """Add ``fact`` and wake the reader."""
        self._facts.append(fact)
        self._wake()

    def take(self) -> _T | None:
        """The next fact, if there is one now."""
        return self._facts.popleft() if self._facts else None

    async def get(self, timeout: float | None) -> _T | None:
        """The next fact; None when there is none within ``timeout`` seconds (None: for ever)."""
        if not self._facts:
            await self._wait(timeout)
        return self.take()

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        alarm = None if timeout is None else loop.call_later(min(max(timeout, 0.0), LONGEST_WAIT), self._wake)
        try:
            await self._reader
        finally:
            self._reader = None
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
