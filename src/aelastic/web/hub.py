"""One look at one source, for all who watch it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from aelastic.errors.base import NotRunningError
from aelastic.events import RankProgress
from aelastic.process.usage import Meter
from aelastic.web.ring import Ring
from aelastic.web.server import is_shutting_down
from aelastic.web.sources import Named
from aelastic.web.views import has_logs, pids_of, run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aelastic.events import Event, LogLine
    from aelastic.logs.subscription import Subscription
    from aelastic.process.usage import Usage
    from aelastic.web.sources import Watched

logger = logging.getLogger("aelastic.web")

PACE = 0.2  # seconds that lines are collected for one portion
TABLE_PACE = 1.0
_USAGE_EVERY = 2  # tables
_LINES_WAITING = 20_000


class Hub:
    """Reads the lines and events of ``watched`` once, into a ring, as long as somebody watches.

    ``linger``: seconds that it goes on after the last watcher, so that one that comes back finds what it has missed.
    ``forget`` is called when nobody is to watch it any more.
    """

    def __init__(self, name: str, watched: Watched, linger: float, forget: Callable[[Hub], None]) -> None:
        self.name = name
        self.watched = watched
        self.epoch = secrets.token_hex(4)
        self.ring = Ring()
        self.table = b""
        self.tables = 0  # how many there were
        self.over = False  # nothing will happen any more
        self.closed = False  # nobody is to watch any more
        self._linger = linger
        self._forget = forget
        self.watchers = 0
        self.dropped = 0  # lines that came too fast
        self._usage: dict[int, Usage] = {}
        self._meter = Meter()
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._read(), name=f"aelastic-web-{name}")
        self._task.add_done_callback(self._ended)
        self._going: asyncio.TimerHandle | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody watches."""
        self.watchers += 1
        if self._going is not None:
            self._going.cancel()
        try:
            yield
        finally:
            self.watchers -= 1
            if not self.watchers:
                self._going = asyncio.get_running_loop().call_later(self._linger, self.close)

    def close(self) -> None:
        """Let go of the source, and of those who watch."""
        self.closed = True
        self._task.cancel()
        self._forget(self)
        self._wake()

    async def changed(self, timeout: float) -> bool:
        """Wait until there is something new; False when there is nothing for ``timeout`` seconds."""
        return bool((await asyncio.wait({self._changed}, timeout=timeout))[0])

    def _wake(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)
        self._changed = self._changed.get_loop().create_future()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the dashboard cannot look at %r any more", self.name, exc_info=error)
        self.closed = self.closed or not self.over  # nobody reads any more: also when its loop has ended
        self._wake()

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(self._tick())
            await self._begun()
            reading = [tasks.create_task(self._read_events(self.watched.events()))]
            with suppress(NotRunningError):  # nothing is captured
                reading.append(
                    tasks.create_task(self._read_lines(self.watched.logs(capacity=_LINES_WAITING, max_delay=PACE)))
                )
            await asyncio.wait(reading)
            ticking.cancel()
        self._tabulate()
        self.over = True

    async def _begun(self) -> None:
        while not has_logs(self.watched):  # noqa: ASYNC110 - nobody tells of a start; and only while somebody watches
            await asyncio.sleep(PACE)

    async def _read_lines(self, lines: Subscription[LogLine]) -> None:
        before, old = lines.dropped, True  # what was forgotten before anybody looked is no loss
        with closing(lines):
            async for first in lines:
                await asyncio.sleep(0 if old else PACE)
                missed = lines.dropped - before
                self.ring.add([first, *lines.take()], missed=missed, old=old)
                self.dropped += missed
                before, old = lines.dropped, False
                self._wake()

    async def _read_events(self, events: Subscription[Event]) -> None:
        with closing(events):
            async for first in events:
                await asyncio.sleep(PACE)
                told = [event for event in (first, *events.take()) if not isinstance(event, RankProgress)]
                if told:  # progress is in the table, in time
                    self.ring.add(events=told)
                    self._tabulate()
                    self._wake()

    async def _tick(self) -> None:
        """What nobody tells of: time, processors, memory, and that the server ends."""
        turn = 0
        while True:
            if self.watchers:
                if is_shutting_down():
                    self.closed = True
                elif turn % _USAGE_EVERY == 0:
                    self._usage = await asyncio.to_thread(self._meter.sample, [*pids_of(self.watched).values()])
                self._tabulate()
                self._wake()
            turn += 1
            await asyncio.sleep(TABLE_PACE)

    def _tabulate(self) -> None:
        run = run_of(Named(self.name, self.watched), self._usage)
        self.table, self.tables = msgspec.json.encode({"now": time.time(), "run": run}), self.tables + 1
