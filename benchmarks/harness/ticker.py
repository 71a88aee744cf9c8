"""How long an application's other tasks are kept from running."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PAUSE = 0.001  # seconds that the task wants to sleep
_SETTLING = 0.02


class Ticker:
    """A task that wants to run every millisecond, and notes how late it was, by phase."""

    def __init__(self) -> None:
        self.delays: dict[str, list[float]] = {}
        self._phase: list[float] = []
        self._task = asyncio.create_task(self._tick())

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        """Note the delays under ``name``. It ends a little later, so that the last delay is noted as well."""
        self._phase = self.delays.setdefault(name, [])
        yield
        await asyncio.sleep(_SETTLING)
        self._phase = []

    async def stop(self) -> None:
        """No more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _tick(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_PAUSE)
            self._phase.append(time.perf_counter() - before - _PAUSE)
