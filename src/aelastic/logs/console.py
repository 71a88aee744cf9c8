"""Showing the ranks' lines on a console that may be slow, stuck or closed.

One thread per console writes, since only a thread may block. The log file is the buffer of a console that cannot
follow: beyond ``MEMORY`` bytes the thread is told where in the file to find the rest. So no rank waits for a console,
no line is lost by a slow one, and the memory used is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO, TypeAlias

from aelastic.decide.lines import Interleaver, LineAssembler, Piece

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("aelastic")

MEMORY = 4 * 1024 * 1024
_READ = 256 * 1024


@dataclass(slots=True)
class _InFile:
    """Bytes ``start`` to ``stop`` of the stream's log file."""

    start: int
    stop: int


_Segment: TypeAlias = "bytes | _InFile"


class Destination(Protocol):
    """Where a console writes to. ``write`` may block, and raises ``OSError`` or ``ValueError`` once closed."""

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""

    def close(self) -> None:
        """Give up what was acquired."""


class ConsoleStream:
    """One stream of one rank on the console. ``path`` is its log file."""

    def __init__(self, console: Console, prefix: str, path: str) -> None:
        self.prefix = prefix.encode()
        self.path = path
        self.segments: deque[_Segment] = deque()
        self.assembler = LineAssembler()
        self.at = 0.0
        self.queued = False
        self.ended = False
        self._console = console

    def show(self, block: bytes, at: float, start: int | None) -> None:
        """Show ``block``, read at ``at``; it is in the log file from byte ``start`` on, or not at all (None)."""
        self._console.add(self, block, at, start)

    def end(self) -> None:
        """The stream is over: show an unfinished line."""
        self._console.end(self)


class Console:
    """A thread that shows whole lines of many streams on one destination, each stream in order."""

    def __init__(self, destination: Destination) -> None:
        self.skipped = 0  # bytes that could not be shown
        self._destination = destination
        self._interleaver = Interleaver()
        self._changed = threading.Condition()
        self._ready: deque[ConsoleStream] = deque()  # streams with something to show, each once
        self._in_memory = 0
        self._written = 0
        self._closing = False
        self._broken = False
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="aelastic-console", daemon=True)
        self._thread.start()

    def stream(self, prefix: str, path: str) -> ConsoleStream:
        """A stream whose lines begin with ``prefix`` and whose bytes are in the file at ``path``."""
        return ConsoleStream(self, prefix, path)

    def add(self, stream: ConsoleStream, block: bytes, at: float, start: int | None) -> None:
        """Queue ``block`` of ``stream``."""
        with self._changed:
            stream.at = at
            if self._in_memory + len(block) <= MEMORY:
                self._in_memory += len(block)
                stream.segments.append(block)
            elif start is None:
                self.skipped += len(block)
            else:
                _extend(stream.segments, start, start + len(block))
            self._make_ready(stream)

    def end(self, stream: ConsoleStream) -> None:
        """Queue the end of ``stream``."""
        with self._changed:
            stream.ended = True
            self._make_ready(stream)

    async def close(self, patience: float) -> None:
        """Show what is queued, and end. A console that takes nothing for ``patience`` seconds is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        written = -1
        while not self._ended.done() and written != self._written:
            written = self._written
            await asyncio.wait({self._ended}, timeout=patience)
        if not self._ended.done():
            self._broken = True
            logger.error("the console is stuck; what it did not show is in the log files")

    def _make_ready(self, stream: ConsoleStream) -> None:
        if not stream.queued:
            stream.queued = True
            self._ready.append(stream)
            self._changed.notify()

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
            segment = stream.segments.popleft() if stream.segments else b""
            stream.queued = bool(stream.segments)
            if stream.queued:
                self._ready.append(stream)
            if isinstance(segment, bytes):
                self._in_memory -= len(segment)
            return stream, segment

    def _show(self, stream: ConsoleStream, segment: _Segment) -> None:
        if isinstance(segment, bytes):
            self._write(stream, stream.assembler.feed(segment, stream.at))
        else:
            self._show_file(stream, segment)
        if stream.ended and not stream.segments:
            self._write(stream, stream.assembler.finish())

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
        data = self._interleaver.join(stream, piece, stream.prefix)
        if self._broken:
            self.skipped += len(data)
        elif data:
            try:
                self._destination.write(data)
                self._written += len(data)
            except (OSError, ValueError) as error:
                self._broken = True
                self.skipped += len(data)
                logger.warning("the console is closed (%s); the ranks go on", error)


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


class _Descriptor:
    """A duplicate of the descriptor behind a text stream: its owner may close or replace the stream."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()

    def close(self) -> None:
        os.close(self._descriptor)


class _Text:
    """A text stream without a descriptor: a notebook's, a test's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        self._stream.write(data.decode(errors="replace"))
        self._stream.flush()

    def close(self) -> None:
        """The stream is its owner's."""


def destination_of(stream: TextIO) -> Destination:
    """Where ``stream`` leads: its descriptor when it has one, else the stream itself."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return _Text(stream)
    stream.flush()
    return _Descriptor(descriptor)
