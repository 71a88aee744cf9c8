"""All streams of a run: their files, consoles, filters and pumps."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aelastic.decide.escapes import PlainLineAssembler
from aelastic.decide.lines import LineAssembler
from aelastic.logs.consoles import Consoles, ours
from aelastic.logs.destinations import is_terminal
from aelastic.logs.feed import Feed
from aelastic.logs.files import LogFile, Writer, create_log_file
from aelastic.logs.filters import LineFilter
from aelastic.logs.history import History
from aelastic.logs.pipe import Pipe
from aelastic.logs.pump import Pump
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from concurrent.futures import Executor

    from aelastic.decide.plan import StreamPlan
    from aelastic.logs.console import ConsoleStream


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How the streams of a run are shown.

    ``prefixes`` are by rank. ``clock`` gives seconds since the epoch; ``spawn`` runs a coroutine in a task that nobody
    cancels; ``executor`` runs what may block. ``consoles`` None: made here, and closed with the streams. ``siblings``:
    how many ranks there are at the same time for each one here.
    """

    prefixes: Mapping[int, str]
    clock: Callable[[], float]
    spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    executor: Executor
    consoles: Consoles | None = None
    siblings: int = 1


@dataclass(slots=True)
class _Stream:
    plan: StreamPlan
    history: History = field(default_factory=History)
    pump: Pump | None = None
    task: asyncio.Task[None] | None = None


class Streams:
    """Opens what the plans name, and owns it until ``close``."""

    def __init__(self, options: StreamOptions) -> None:
        self.feed = Feed()
        self._options = options
        self._streams: dict[tuple[int, Std], _Stream] = {}
        self._files: dict[str, LogFile] = {}
        self._writer = Writer(options.executor)
        self._consoles = options.consoles or Consoles()
        self._filters: dict[Std, LineFilter] = {}
        self._strip_escapes: bool | None = None
        self._private = True

    @property
    def captured(self) -> bool:
        """Whether any stream is read by us."""
        return any(stream.plan.captured for stream in self._streams.values())

    def is_captured(self, rank: int) -> bool:
        """Whether any stream of ``rank`` is."""
        return any(stream.plan.captured for stream in self._of(rank))

    async def open(
        self,
        plans: Sequence[StreamPlan],
        filters: Mapping[Std, tuple[str, Sequence[str]]],
        *,
        strip_escapes: bool | None = None,
        private: bool = True,
    ) -> None:
        """Create the files, the pipes and the consoles. Raises ``OSError``; call ``close`` then, too.

        ``filters`` maps a stream to the path of its filtered log and the strings to look for. ``strip_escapes``:
        show lines without escape sequences; None: where no terminal shows them. ``private``: new files are open to
        their owner alone.
        """
        self._strip_escapes, self._private = strip_escapes, private
        self._streams = {(plan.rank, plan.stream): _Stream(plan) for plan in plans}
        for std, (path, needles) in filters.items():
            self._filters[std] = LineFilter(await self._open_file(path), needles, plain=strip_escapes is not False)
        captured = [stream for stream in self._streams.values() if stream.plan.captured]
        for stream in captured:
            stream.pump = await self._make_pump(stream, len(captured) * self._options.siblings)

    def descriptor(self, rank: int, std: Std) -> int | None:
        """What the rank gets as its stream; None: ours, shared."""
        stream = self._streams[rank, std]
        if stream.pump is not None:
            return stream.pump.pipe.write_end
        return subprocess.DEVNULL if stream.plan.path == os.devnull else None

    def begin(self, rank: int) -> None:
        """The rank has its descriptors: read from now on."""
        for stream in self._of(rank):
            if stream.pump is not None:
                stream.pump.pipe.close_write_end()
                stream.task = self._options.spawn(stream.pump.run())

    async def drain(self, rank: int, timeout: float) -> None:
        """The rank is gone: wait for the end of its streams, at most ``timeout`` seconds, then take what is there."""
        tasks = [stream.task for stream in self._of(rank) if stream.task is not None]
        if not tasks:
            return
        for stream in self._of(rank):
            if stream.pump is not None:
                stream.pump.pipe.hurry()
        _, late = await asyncio.wait(tasks, timeout=timeout)
        if late:
            for stream in self._of(rank):
                if stream.pump is not None:
                    stream.pump.pipe.end_soon()
            await asyncio.wait(late)

    async def close(self, patience: float) -> None:
        """Write out and close everything. A stuck console gets ``patience`` seconds to move."""
        for stream in self._streams.values():
            if stream.pump is not None:
                stream.pump.pipe.close()
        self.feed.close()
        if self._options.consoles is None:
            await self._consoles.close(patience)
        for file in self._files.values():
            await file.close()

    def written_bytes(self) -> dict[str, int]:
        """Log file to the number of bytes that are in it."""
        return {file.path: file.size for file in self._files.values()}

    def lost_bytes(self) -> dict[str, int]:
        """Log file to the number of bytes that it could not take."""
        return {file.path: file.lost for file in self._files.values() if file.lost}

    def last_lines(self, rank: int, std: Std, count: int) -> str:
        """The last ``count`` captured lines of one stream."""
        return self._streams[rank, std].history.last_lines(count)

    def last_line(self, rank: int) -> str:
        """The last captured line of either stream."""
        latest = max(self._of(rank), key=lambda stream: stream.history.at, default=None)
        return latest.history.last_lines(1) if latest else ""

    def _of(self, rank: int) -> list[_Stream]:
        return [self._streams[rank, std] for std in (Std.OUT, Std.ERR) if (rank, std) in self._streams]

    async def _make_pump(self, stream: _Stream, siblings: int) -> Pump:
        plan = stream.plan
        prefix = self._options.prefixes[plan.rank]
        console = self._console_stream(plan, prefix) if plan.tee else None
        file = await self._open_file(plan.path)
        line_filter = self._filters.get(plan.stream) if plan.tee else None
        return Pump(
            Pipe(siblings),
            file,
            stream.history,
            self.feed.stream(plan.rank, plan.stream, stream.history),
            console,
            line_filter.stream(prefix) if line_filter else None,
            self._options.clock,
        )

    async def _open_file(self, path: str) -> LogFile:
        file = os.path.realpath(path)  # several streams may share one, by whatever name
        if file not in self._files:
            self._files[file] = await create_log_file(path, self._writer, private=self._private)
        return self._files[file]

    def _console_stream(self, plan: StreamPlan, prefix: str) -> ConsoleStream:
        plain = not is_terminal(ours(plan.stream)) if self._strip_escapes is None else self._strip_escapes
        assembler = PlainLineAssembler if plain else LineAssembler
        return self._consoles.get(plan.stream).stream(prefix, plan.path, assembler)
