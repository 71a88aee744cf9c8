"""The reading end of a rank's stream, read through the loop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
import weakref

_DEFAULT_CAPACITY = 64 * 1024
_LARGEST_CAPACITY = 256 * 1024
_BUDGET = 16 * 1024 * 1024  # a quarter of what Linux lets a user have; beyond it the user's new pipes are tiny


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
        self._allowance: int | None = None  # bytes that may still be read once the stream was told to end

    @property
    def ends(self) -> tuple[int, int]:
        """The descriptors, -1 when closed."""
        return self._read_end, self.write_end

    async def read(self) -> bytes:
        """The next block; empty at the end of the stream, which ``end_soon`` can bring about."""
        while self._allowance is None or self._allowance > 0:
            try:
                block = os.read(self._read_end, self._capacity)
            except BlockingIOError:
                if self._allowance is not None:
                    break
                await self._wait_readable()
                continue
            if self._allowance is not None:
                self._allowance -= len(block)
            return block
        return b""

    def end_soon(self) -> None:
        """Let ``read`` give what is in the pipe now, and then end."""
        self._allowance = _waiting(self._read_end) if self._read_end >= 0 else 0
        self._wake()

    def close_write_end(self) -> None:
        """Leave the writing to the rank. Can be called again."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Close both ends. Can be called again."""
        self.close_write_end()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

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


def _waiting(pipe: int) -> int:
    """How many bytes are in ``pipe``; a rank may have enlarged it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
