"""Steady HTTP requests, each on a connection of its own or on one that is kept, and what has become of each."""

from __future__ import annotations

import asyncio
import re
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
    """Times are by ``time.time``. ``lost``: it was connected, and there was no whole answer. ``worker``: a pid.

    ``kept``: on a connection that had been used before.
    """

    name: str
    fate: Fate
    began: float
    ended: float
    worker: int = 0
    kept: bool = False


@dataclass(slots=True)
class Connection:
    """To a server, open while ``is_open``."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False

    @property
    def is_open(self) -> bool:
        """As far as the client knows."""
        return not self.reader.at_eof() and not self.writer.is_closing()

    async def ask(self, name: str, *, keep: bool) -> bytes:
        """The body of the answer. Raises ``ConnectionError`` or ``EOFError`` when there is none."""
        self.used = True
        self.writer.write(f"GET /{name} HTTP/1.1\r\nHost: localhost\r\n{'' if keep else CLOSE}\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        if not head.startswith("http/1.1 200"):
            raise ConnectionError(head)
        (length,) = re.findall(r"content-length: (\d+)", head)
        body = await self.reader.readexactly(int(length))
        if CLOSE.lower() in head:
            self.writer.close()
        return body


CLOSE = "Connection: close\r\n"


@dataclass(slots=True)
class Load:
    """``clients`` that ask one after another for as long as this is entered. ``keep``: connections while they last."""

    port: int
    clients: int = 4
    pause: float = 0.005
    keep: bool = False
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
        number, connection = 0, None
        while not self._over:
            number += 1
            connection = await self._ask(f"{client}-{number}", connection)
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(self.pause)
        if connection:
            connection.writer.close()

    async def _ask(self, name: str, connection: Connection | None) -> Connection | None:
        """On this connection, or a new one; the one for the next time."""
        began = time.time()
        try:
            if not connection or not connection.is_open:
                connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        except ConnectionRefusedError:
            self.requests.append(Request(name, "refused", began, time.time()))
            return None
        kept = connection.used
        try:
            worker, asked = (await connection.ask(name, keep=self.keep)).decode().split()
            assert asked == name
            self.requests.append(Request(name, "answered", began, time.time(), int(worker), kept))
        except (ConnectionError, EOFError):
            self.requests.append(Request(name, "lost", began, time.time(), kept=kept))
            connection.writer.close()
        return connection
