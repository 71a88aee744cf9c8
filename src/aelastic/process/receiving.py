"""A value on its way home: blocks as they came, unpickled without being put together."""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any


class Blocks:
    """What a rank has sent: a pickle, then ``token``. Read once, as a file is, letting go of what was read."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._blocks: deque[memoryview] = deque()
        self._end = b""

    def add(self, block: bytes) -> None:
        """The next block."""
        self._blocks.append(memoryview(block))
        self._end = (self._end + block[-len(self._token) :])[-len(self._token) :]

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
        while self._blocks and filled < len(target):
            block = self._take(len(target) - filled)
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
        while self._blocks and not line.endswith(b"\n"):
            line += self._take(1)
        return bytes(line)

    def _take(self, size: int) -> memoryview:
        block = self._blocks.popleft()
        if len(block) > size:
            self._blocks.appendleft(block[size:])
        return block[:size]
