"""The ranks in a table at the bottom of the terminal, with their lines scrolling above."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aelastic.cli.screen import Screen, ScreenStream
from aelastic.cli.words import counted, duration
from aelastic.events import RankState
from aelastic.logs.destinations import destination_of, lead_to_the_same
from aelastic.std import Std, to_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from aelastic.cli.settings import Settings
    from aelastic.cli.table import Renderer
    from aelastic.cli.views import Ranks
    from aelastic.events import Event, RankSnapshot
    from aelastic.logs.subscription import Subscription
    from aelastic.process.usage import Meter

_TICK = 0.5  # seconds
_PATIENCE = 1.0  # with a terminal that takes nothing, in seconds
_ALIVE = (RankState.RUNNING, RankState.STOPPING)


class LiveView:
    """Standard output, a terminal, shows lines and below them a table. What would go to it directly is teed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._terminal = sys.stdout
        self._screen = Screen(destination_of(self._terminal), lambda: self._size().columns)
        self._stream = ScreenStream(self._screen)
        self._undo = ExitStack()

    def tee(self, nproc: int) -> Mapping[int, Std]:
        """Whatever is not kept off the terminal."""
        tee, redirects = to_map(self._settings.tee, nproc), to_map(self._settings.redirects, nproc)
        return {rank: tee[rank] | (Std.ALL & ~redirects[rank]) for rank in range(nproc)}

    def __enter__(self) -> Self:
        self._screen.start()
        self._undo.callback(self._screen.close, _PATIENCE)
        if lead_to_the_same(sys.stdout, sys.stderr):
            self._undo.enter_context(redirect_stderr(self._stream))
            self._undo.enter_context(_log_to(self._stream))
        self._undo.enter_context(redirect_stdout(self._stream))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    async def follow(self, ranks: Ranks) -> None:
        """Draw the table anew every half second, and once more when all is over."""
        begin = time.time()
        over = asyncio.create_task(_exhaust(ranks.events()))
        renderer, meter = await asyncio.to_thread(self._make_tools)
        while True:
            last = over.done()
            await asyncio.to_thread(self._show, renderer, meter, ranks.snapshot(), begin)
            if last:
                return
            await asyncio.wait({over}, timeout=_TICK)

    def _make_tools(self) -> tuple[Renderer, Meter | None]:
        """In a thread, as importing takes a while."""
        from aelastic.cli.table import Renderer

        if find_spec("psutil") is None:
            return Renderer(), None
        from aelastic.process.usage import Meter

        return Renderer(), Meter()

    def _show(self, renderer: Renderer, meter: Meter | None, ranks: Mapping[int, RankSnapshot], begin: float) -> None:
        from aelastic.cli.table import Row

        pids = {rank: one.pid for rank, one in ranks.items() if one.pid is not None and one.state in _ALIVE}
        usage = meter.sample(pids.values()) if meter else {}
        rows = [Row(one, usage.get(pids.get(rank, -1))) for rank, one in ranks.items()]
        size, now = self._size(), time.time()
        title = f"{os.path.basename(self._settings.program)}: {counted(len(rows), 'rank')}, {duration(now - begin)}"
        self._screen.show(renderer.render(rows, title, now, size.columns, size.lines))

    def _size(self) -> os.terminal_size:
        try:
            columns, lines = os.get_terminal_size(self._terminal.fileno())
        except (OSError, ValueError):  # it has just been closed
            columns = lines = 0
        return os.terminal_size((columns or 80, lines or 24))


async def _exhaust(events: Subscription[Event]) -> None:
    async for _ in events:
        pass


@contextmanager
def _log_to(stream: ScreenStream) -> Iterator[None]:
    handlers = [one for one in logging.getLogger().handlers if isinstance(one, logging.StreamHandler)]
    before = [(handler, handler.setStream(stream)) for handler in handlers]
    try:
        yield
    finally:
        for handler, previous in before:
            handler.setStream(previous)
