"""Showing the ranks' lines on a console that may be slow, stuck or closed.

One thread per console writes, since only a thread may block. The log file is the buffer of a console that cannot
follow: beyond ``MEMORY`` bytes the thread is told where in the file to find the rest. So no rank waits for a console,
no line is lost by a slow one, and the memory used is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aelastic.decide.lines import Interleaver, LineAssembler, Piece
from aelastic.logs.destinations import is_regular_file, takes_more

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.logs.destinations import Destination

logger = logging.getLogger("aelastic")

MEMORY = 4 * 1024 * 1024
_OVERHEAD = 128  # what a block takes beside its bytes, roughly
_READ = 64 * 1024  # small enough for allocations that are not mapped anew each time, which halved the speed
_PIECE = 64 * 1024  # written at once
_LAST_PIECE = 4096  # the same while somebody waits to see the console move


@dataclass(slots=True)
class _InFile:
    """Bytes ``start`` to ``stop`` of the stream's log file."""

    start: int
    stop: int


_Segment: TypeAlias = "bytes | _InFile"
_END = b""  # the segment at the end of a stream


class Assembler(Protocol):
    """What a ``LineAssembler`` does; another one may leave lines out."""

    def feed(self, data: bytes, at: float) -> Piece:
        """Take bytes that were read at ``at``; give what can be shown now."""

    def finish(self) -> Piece:
        """The stream is over: give what was held back."""


class ConsoleStream:
    """One stream of one rank on the console. ``path`` is its log file. After its end it can begin anew."""

    def __init__(self, console: Console, prefix: str, path: str, assembler: Callable[[], Assembler]) -> None:
        self.prefix = prefix.encode()
        self.path = path
        self.segments: deque[_Segment] = deque()
        self.at = 0.0
        self.queued = False
        self._console = console
        self._make_assembler = assembler
        self.begin()

    def begin(self) -> None:
        """Expect the first line. For the console."""
        self.assembler = self._make_assembler()

    def show(self, block: bytes, at: float, start: int | None) -> None:
        """Show ``block``, read at ``at``; it can be read back from byte ``start`` of the log file, or not (None)."""
        if block:
            self._console.add(self, block, at, start)

    def show_file(self, at: float, start: int, stop: int) -> None:
        """Show bytes ``start`` to ``stop`` of the log file, read at ``at``."""
        self._console.add_file(self, at, start, stop)

    def end(self) -> None:
        """The stream is over: show an unfinished line."""
        self._console.add(self, _END, self.at, None)


class Console:
    """A thread that shows whole lines of many streams on one destination, each stream in order."""

    def __init__(self, destination: Destination) -> None:
        self.shown = 0  # bytes
        self.skipped = 0  # bytes that could not be shown
        self._destination = destination
        self._last_piece = _PIECE if is_regular_file(destination) else _LAST_PIECE
        self._interleaver = Interleaver()
        self._changed = threading.Condition()
        self._ready: deque[ConsoleStream] = deque()  # streams with something to show, each once
        self._in_memory = 0
        self._closing = False
        self._broken = False
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="aelastic-console", daemon=True)
        self._thread.start()

    def stream(self, prefix: str, path: str, assembler: Callable[[], Assembler] = LineAssembler) -> ConsoleStream:
        """A stream whose lines begin with ``prefix`` and whose bytes are in the file at ``path``."""
        return ConsoleStream(self, prefix, path, assembler)

    @property
    def has_room(self) -> bool:
        """Whether as much as ``MEMORY / 2`` bytes can be added without a log file to read them back from."""
        return self._in_memory <= MEMORY / 2

    def add(self, stream: ConsoleStream, block: bytes, at: float, start: int | None) -> None:
        """Queue ``block`` of ``stream``."""
        with self._changed:
            stream.at = at
            if block == _END or self._in_memory + len(block) + _OVERHEAD <= MEMORY:
                self._in_memory += len(block) + _OVERHEAD
                stream.segments.append(block)
            elif start is None:
                self.skipped += len(block)
            else:
                _extend(stream.segments, start, start + len(block))
            self._queue(stream)

    def add_file(self, stream: ConsoleStream, at: float, start: int, stop: int) -> None:
        """Queue bytes ``start`` to ``stop`` of the log file of ``stream``."""
        with self._changed:
            stream.at = at
            if start < stop:
                _extend(stream.segments, start, stop)
            self._queue(stream)

    def _queue(self, stream: ConsoleStream) -> None:
        if stream.segments and not stream.queued:
            stream.queued = True
            self._ready.append(stream)
            self._changed.notify()

    async def close(self, patience: float) -> None:
        """Show what is queued, and end. A console that takes nothing for ``patience`` seconds is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if not await wait_while_moving(self._ended, lambda: self.shown, patience):
            self._broken = True
            with contextlib.suppress(RuntimeError):  # no thread is to be had: nobody is told, and we go on
                threading.Thread(target=self._complain, name="aelastic-console-stuck", daemon=True).start()
            await asyncio.wait({self._ended}, timeout=patience)
        elif self.skipped and not self._broken:
            logger.warning("%d bytes were not shown on the console", self.skipped)

    def _complain(self) -> None:
        """Log in a thread, since the log may lead to the same console. If nobody would ever see it, do not."""
        if logger.hasHandlers() or takes_more(sys.stderr):
            logger.error("the console is stuck; what it did not show is in the log files")
        _call_unless_closed(self._loop, self._report_end)

    def _work(self) -> None:
        while (work := self._next()) is not None:
            self._show(*work)
        self._destination.close()
        _call_unless_closed(self._loop, self._report_end)

    def _report_end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _next(self) -> tuple[ConsoleStream, _Segment] | None:
        """The next segment to show, or None at the end."""
        with self._changed:
            while not self._ready:
                if self._closing:
                    return None
                self._changed.wait()
            stream = self._ready.popleft()
            segment = stream.segments.popleft()
            stream.queued = bool(stream.segments)
            if stream.queued:
                self._ready.append(stream)
            if isinstance(segment, bytes):
                self._in_memory -= len(segment) + _OVERHEAD
            return stream, segment

    def _show(self, stream: ConsoleStream, segment: _Segment) -> None:
        if isinstance(segment, _InFile):
            self._show_file(stream, segment)
        elif segment == _END:
            self._write(stream, stream.assembler.finish())
            stream.begin()
        else:
            self._write(stream, stream.assembler.feed(segment, stream.at))

    def _show_file(self, stream: ConsoleStream, part: _InFile) -> None:
        try:
            with open(stream.path, "rb", buffering=0) as file:
                file.seek(part.start)
                while part.start < part.stop and (data := file.read(min(_READ, part.stop - part.start))):
                    part.start += len(data)
                    self._write(stream, stream.assembler.feed(data, stream.at))
        except OSError as error:
            logger.warning("cannot read back %s: %s", stream.path, error.strerror)
        self.skipped += part.stop - part.start  # somebody has truncated or removed the file

    def _write(self, stream: ConsoleStream, piece: Piece) -> None:
        rest = memoryview(self._interleaver.join(stream.assembler, piece, stream.prefix))
        while rest and not self._broken:
            try:
                count = self._destination.write(rest[: self._last_piece if self._closing else _PIECE])
            except Exception as error:  # noqa: BLE001 - a stream of somebody's own may raise anything
                if not self._broken:  # else it was given up, and that was said
                    logger.warning("the console is closed (%s); the ranks go on", error)
                self._broken = True
            else:
                self.shown += count
                rest = rest[count:]
        self.skipped += len(rest)


def _extend(segments: deque[_Segment], start: int, stop: int) -> None:
    last = segments[-1] if segments else None
    if isinstance(last, _InFile) and last.stop == start:
        last.stop = stop
    else:
        segments.append(_InFile(start, stop))


def _call_unless_closed(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        logger.debug("the loop was closed before the console had ended")


async def wait_while_moving(done: asyncio.Future[None], moved: Callable[[], int], patience: float) -> bool:
    """Wait for ``done`` as long as ``moved()`` changes at least every ``patience`` seconds; whether it came."""
    before = -1
    while not done.done() and before != moved():
        before = moved()
        await asyncio.wait({done}, timeout=patience)
    return done.done()
