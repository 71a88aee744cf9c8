"""Steady HTTP requests, each on a connection of its own, and what has become of each."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TypeAlias

Fate: TypeAlias = 'Literal["answered", "refused", "lost"]'


@dataclass(frozen=True, slots=True)
class Request:
    """Times are by ``time.time``. ``lost``: it was connected, and there was no whole answer. ``worker``: a pid."""

    name: str
    fate: Fate
    began: float
    ended: float
    worker: int = 0


@dataclass(slots=True)
class Load:
    """``clients`` that ask one after another for as long as this is entered."""

    port: int
    clients: int = 4
    pause: float = 0.005
    requests: list[Request] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _over: bool = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask_on(client)) for client in range(self.clients)]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    def by_fate(self, fate: Fate) -> list[Request]:
        """Those of which this has become."""
        return [one for one in self.requests if one.fate == fate]

    def latency(self, percent: int) -> float:
        """Seconds within which so many percent of the answers came."""
        times = [one.ended - one.began for one in self.by_fate("answered")]
        return statistics.quantiles(times, n=100)[percent - 1]

    async def served(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        enough = len(self.by_fate("answered")) + more
        async with self._news:
            await self._news.wait_for(lambda: len(self.by_fate("answered")) >= enough)

    async def _ask_on(self, client: int) -> None:
        number = 0
        while not self._over:
            number += 1
            self.requests.append(await self._ask(f"{client}-{number}"))
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(self.pause)

    async def _ask(self, name: str) -> Request:
        began = time.time()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return Request(name, "refused", began, time.time())
        try:
            writer.write(f"GET /{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        except ConnectionError:
            head, body = b"", b""
        finally:
            writer.close()
        if not head.startswith(b"HTTP/1.1 200") or not body.endswith(f" {name}".encode()):
            return Request(name, "lost", began, time.time())
        return Request(name, "answered", began, time.time(), int(body.split()[0]))
