"""The reading end of a rank's stream, read through the loop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_CAPACITY = 64 * 1024
_LARGEST_CAPACITY = 256 * 1024
_BUDGET = 16 * 1024 * 1024  # a quarter of what Linux lets a user have; beyond it the user's new pipes are tiny
_NEIGHBOURS = 256  # descriptors
_PHASES = 10

_pipes: weakref.WeakSet[Pipe] = weakref.WeakSet()


def open_ends() -> list[int]:
    """The descriptors of every pipe of this process: what a fork must close."""
    return [end for pipe in _pipes for end in pipe.ends if end >= 0]


class Pipe:
    """Reads blocks from a pipe of our own.

    Why not ``asyncio.subprocess.PIPE``: with that, a process counts as ended only when its pipes are closed, which a
    grandchild can put off for ever (cpython gh-119710).

    ``siblings`` is how many such pipes there are. A few are made larger than usual, which triples their throughput.
    """

    def __init__(self, siblings: int = 1) -> None:
        self._capacity = min(_LARGEST_CAPACITY, max(_DEFAULT_CAPACITY, _BUDGET // siblings))
        self._read_end, self.write_end = os.pipe()
        _pipes.add(self)
        if self._capacity > _DEFAULT_CAPACITY:
            with contextlib.suppress(AttributeError, OSError):  # not Linux, or not granted
                fcntl.fcntl(self._read_end, fcntl.F_SETPIPE_SZ, self._capacity)
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._readable: asyncio.Future[None] | None = None
        self._rested: asyncio.Future[None] | None = None
        self._hurried = False
        self._ending = False
        self._allowance: int | None = None  # bytes that may still be read once the stream was told to end
        self._closing = False
        self._in_use = threading.Lock()

    @property
    def ends(self) -> tuple[int, int]:
        """The descriptors, -1 when closed."""
        return self._read_end, self.write_end

    async def read(self) -> bytes:
        """The next block; empty at the end of the stream, which ``end_soon`` can bring about."""
        while most := self._most():
            try:
                block = os.read(self._read_end, min(self._capacity, most))
            except BlockingIOError:
                if self._ending:
                    break
                await self._wait_readable()
            else:
                self.took(len(block))
                return block
        return b""

    async def readable(self) -> int:
        """Wait until there is something to read, or the end; at most so many bytes, 0 if it was told to end."""
        if not self._ending:
            await self._wait_readable()
        return self._most()

    @contextlib.contextmanager
    def lent(self) -> Iterator[int]:
        """The reading end, for a thread; who closes the pipe meanwhile leaves that to it. ``took`` what was read."""
        try:
            with self._in_use:
                yield self._read_end
        finally:
            if self._closing:
                self._close_read_end()

    def took(self, count: int) -> None:
        """So many bytes were read, by whomever."""
        if self._allowance is not None:
            self._allowance = self._allowance - count if count else 0

    async def rest(self, seconds: float, now: float) -> None:
        """Let something gather in the pipe for at most ``seconds`` from ``now`` on, unless somebody is in a hurry.

        Neighbours that rest so long end it together: what they have is then read and written in one go. Others end it
        at other times, so that the loop gets round in between.
        """
        if self._hurried:
            return
        self._rested = self._loop.create_future()
        phase = self._read_end // _NEIGHBOURS % _PHASES / _PHASES
        alarm = self._loop.call_later(seconds - (now - phase * seconds) % seconds, self._end_rest)
        try:
            await self._rested
        finally:
            alarm.cancel()

    def hurry(self) -> None:
        """Rest no more."""
        self._hurried = True
        self._end_rest()

    def end_soon(self) -> None:
        """Let what is in the pipe now be read, and then the stream end."""
        self._ending = True
        self.hurry()
        self._wake()

    def close_write_end(self) -> None:
        """Leave the writing to the rank. Can be called again."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Close both ends. Can be called again."""
        self.close_write_end()
        self._closing = True
        self._close_read_end()

    def _close_read_end(self) -> None:
        if self._in_use.acquire(blocking=False):
            if self._read_end >= 0:
                os.close(self._read_end)
                self._read_end = -1
            self._in_use.release()

    def _most(self) -> int:
        """How much may be read."""
        if not self._ending:
            return sys.maxsize
        if self._allowance is None:
            self._allowance = _waiting(self._read_end) if self._read_end >= 0 else 0
        return max(0, self._allowance)

    async def _wait_readable(self) -> None:
        self._readable = self._loop.create_future()
        self._loop.add_reader(self._read_end, self._wake)
        try:
            await self._readable
        finally:
            self._loop.remove_reader(self._read_end)
            self._readable = None

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _end_rest(self) -> None:
        if self._rested is not None and not self._rested.done():
            self._rested.set_result(None)


def _waiting(pipe: int) -> int:
    """How many bytes are in ``pipe``; a rank may have enlarged it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
