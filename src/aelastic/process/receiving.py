"""A value on its way home: bytes as they came, unpickled without being put together."""

from __future__ import annotations

import pickle
from collections import deque
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any

_SIZE = 1024 * 1024


class _Chunk:
    """Memory of its own, which the kernel gets back when it was read: ``malloc`` would keep it for later."""

    def __init__(self) -> None:
        self._memory = mmap(-1, _SIZE, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        self._written = 0

    @property
    def room(self) -> int:
        return _SIZE - self._written

    @property
    def rest(self) -> int:
        """How many bytes can still be read."""
        return self._written - self._memory.tell()

    def write(self, block: memoryview) -> None:
        self._memory[self._written : self._written + len(block)] = block
        self._written += len(block)

    def read(self, size: int) -> bytes:
        return self._memory.read(min(size, self.rest))

    def close(self) -> None:
        self._memory.close()


class Blocks:
    """What a rank has sent: a pickle, then ``token``. Read once, as a file is, letting go of what was read."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._chunks: deque[_Chunk] = deque()
        self._end = b""

    def add(self, block: bytes) -> None:
        """The next block."""
        self._end = (self._end + block[-len(self._token) :])[-len(self._token) :]
        rest = memoryview(block)
        while rest:
            if not self._chunks or not self._chunks[-1].room:
                self._chunks.append(_Chunk())
            room = self._chunks[-1].room
            self._chunks[-1].write(rest[:room])
            rest = rest[room:]

    @property
    def complete(self) -> bool:
        """Whether everything has come."""
        return self._end == self._token

    def load(self) -> Any:
        """The value. Raises whatever unpickling raises. For a thread: large values give way to others in between."""
        return pickle.Unpickler(self).load()  # noqa: S301 - from a rank of ours, through a pipe of its own

    def readinto(self, target: memoryview) -> int:
        """Fill ``target``; how many bytes were there."""
        filled = 0
        while filled < len(target) and (block := self._take(len(target) - filled)):
            target[filled : filled + len(block)] = block
            filled += len(block)
        return filled

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, fewer at the end."""
        target = bytearray(size)
        return bytes(target[: self.readinto(memoryview(target))])

    def readline(self) -> bytes:
        """One line; pickles of today have none."""
        line = bytearray()
        while not line.endswith(b"\n") and (byte := self._take(1)):
            line += byte
        return bytes(line)

    def _take(self, size: int) -> bytes:
        """Some of the next bytes; empty at the end."""
        if not self._chunks:
            return b""
        block = self._chunks[0].read(size)
        if not self._chunks[0].rest:
            self._chunks.popleft().close()
        return block
