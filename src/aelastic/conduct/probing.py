"""Probing a rank that says nothing itself, until it is ready or gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from aelastic.process.listeners import Rank
from aelastic.process.marker import MARKER
from aelastic.process.probes import try_exec, try_http, try_tcp
from aelastic.readiness import ExecProbe, HttpProbe, TcpProbe

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from aelastic.conduct.workload import Tools
    from aelastic.events import LogLine
    from aelastic.logs.subscription import Subscription

_FIRST_PAUSE = 0.05
_GROWTH = 1.5


class Probing(Protocol):
    """A probe at work. ``problem`` says why the rank is not ready yet; ``on_ready`` is called once, or never."""

    problem: str

    async def run(self) -> None:
        """Until the rank is ready, or ``stop`` is called. For a task that nobody cancels."""

    def stop(self) -> None:
        """The rank need not be ready any more. Can be called again."""


class LogWatch:
    """Looks for ``pattern`` in the lines of a rank."""

    def __init__(self, pattern: re.Pattern[str], lines: Subscription[LogLine], on_ready: Callable[[], None]) -> None:
        self.problem = f"no line matches {pattern.pattern!r}"
        self._pattern = pattern
        self._lines = lines
        self._on_ready = on_ready

    async def run(self) -> None:
        """Read on."""
        async for line in self._lines:
            if self._pattern.search(line.text):
                self._on_ready()
                break
        self._lines.close()

    def stop(self) -> None:
        """Look at what has come by now, and at nothing more."""
        self._lines.close()


class Tries:
    """Tries again and again, at first quickly."""

    def __init__(
        self,
        probe: TcpProbe | HttpProbe | ExecProbe,
        leader: int,
        env: Mapping[str, str],
        tools: Tools,
        on_ready: Callable[[], None],
    ) -> None:
        self.problem = "it was not tried yet"
        self._probe = probe
        self._rank = Rank(leader, env.get(MARKER, ""))
        self._env = env
        self._tools = tools
        self._on_ready = on_ready
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Try."""
        pauses = _pauses(self._probe.interval)
        while not self._stopped.done():
            self.problem = await self._try()
            if not self.problem:
                break
            await asyncio.wait({self._stopped}, timeout=next(pauses))
        if not self._stopped.done():
            self._on_ready()

    def stop(self) -> None:
        """Whatever is being tried is given up."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def _try(self) -> str:
        if isinstance(self._probe, ExecProbe):
            return await try_exec(self._probe, self._env, self._tools.clock, self._stopped)
        if isinstance(self._probe, TcpProbe):
            return await self._in_time(try_tcp(self._probe, self._rank, self._tools.executor))
        return await self._in_time(try_http(self._probe, self._rank, self._tools.executor))

    async def _in_time(self, work: Coroutine[Any, Any, str]) -> str:
        """The answer of ``work``, which is cancelled when it takes too long."""
        task = asyncio.ensure_future(work)
        either: set[asyncio.Future[Any]] = {task, self._stopped}
        try:
            await asyncio.wait(either, timeout=self._probe.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
        await asyncio.wait({task})
        return f"no answer within {self._probe.timeout:g} s" if task.cancelled() else task.result()


def _pauses(longest: float) -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield min(pause, longest)
        pause = min(pause * _GROWTH, longest)
