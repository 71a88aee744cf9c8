"""Moves one captured stream of one rank from its pipe to everybody who wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.logs.batches import LITTLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.logs.console import ConsoleStream
    from aelastic.logs.feed import FeedStream
    from aelastic.logs.files import LogFile
    from aelastic.logs.filters import FilterStream
    from aelastic.logs.history import History
    from aelastic.logs.pipe import Pipe


_MUCH = 64 * 1024  # bytes
_OFTEN, _REST = 0.2, 0.1  # seconds


class Pump:
    """One stream: a pipe, its log file, and those who look on.

    The file comes first and sets the pace: a rank that writes faster than the disk waits at its pipe. Nobody else is
    waited for. ``clock`` gives the time of a line in seconds since the epoch.
    """

    def __init__(
        self,
        pipe: Pipe,
        file: LogFile,
        history: History,
        feed: FeedStream,
        console: ConsoleStream | None,
        line_filter: FilterStream | None,
        clock: Callable[[], float],
    ) -> None:
        self.pipe = pipe
        self._file = file
        self._history = history
        self._feed = feed
        self._console = console
        self._filter = line_filter
        self._clock = clock
        self._is_fast = False

    async def run(self) -> None:
        """Until the stream ends, or was told to."""
        try:
            while await (self._copy() if self._is_copied else self._read()):
                pass
        finally:
            self.pipe.close()
        self._feed.finish(self._clock())
        if self._console is not None:
            self._console.end()
        if self._filter is not None:
            await self._filter.finish()

    @property
    def _is_copied(self) -> bool:
        """Whether it is so fast that the loop had better not see it: nobody looks on, or a console that can read it."""
        if not self._is_fast or self._filter is not None or self._feed.is_wanted:
            return False
        return self._console is None or self._file.can_be_read_back

    async def _read(self) -> bool:
        """Move a block through the loop, for others to see; whether there was one.

        Who writes little and often is left alone for a while, unless a live consumer waits: a line costs several
        turns of the loop.
        """
        block = await self.pipe.read()
        if not block:
            return False
        before, now = self._history.at, self._clock()
        await self._pass_on(block, now)
        self._is_fast = len(block) >= _MUCH
        if len(block) < LITTLE and now - before < _OFTEN and self._feed.can_wait(_REST):
            await self.pipe.rest(_REST, now)
        return True

    async def _copy(self) -> bool:
        """Move what there is to the file alone, off the loop; False at the end of the stream."""
        most = await self.pipe.readable()
        if not most or not self._is_copied:
            return most > 0
        with self._feed.held():
            copied = await self._file.copy(self.pipe, most)
            self.pipe.took(copied.count)
            now = self._clock()
            if copied.count:
                self._history.add(copied.tail, now)
        self._is_fast = copied.count >= _MUCH
        if self._console is not None:
            self._console.show_file(now, copied.start, copied.stop)
            self._console.show(copied.unwritten, now, None)
        return not copied.ended

    async def _pass_on(self, block: bytes, at: float) -> None:
        start = await self._file.write(block)
        self._history.add(block, at)
        self._feed.feed(block, at)
        if self._console is not None:
            self._console.show(block, at, start)
        if self._filter is not None:
            await self._filter.feed(block, at)
