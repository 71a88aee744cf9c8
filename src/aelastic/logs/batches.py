"""Many small blocks for many files, in one go: a hop to a thread costs more than a short write."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from io import FileIO

LITTLE = 16 * 1024  # bytes
_PACE = 0.005  # seconds between two goes, for blocks that are little


@dataclass(slots=True)
class Entry:
    """A block for a file; how much of it was ``written``, and the ``error`` that kept the rest out."""

    file: FileIO
    block: memoryview
    written: int = 0
    error: OSError | None = None
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def write(self) -> None:
        """Blocks."""
        try:
            while self.written < len(self.block):
                self.written += self.file.write(self.block[self.written :])
        except OSError as error:
            self.error = error


class Batches:
    """Collects what several streams write to files of one device, and has it written by ``perform``, off the loop.

    The first one writes at once. What comes within ``_PACE`` seconds of it waits for the others that come by then,
    unless it is much. Whoever finds nobody waiting goes for all who join; nobody may be cancelled here.
    """

    def __init__(self, perform: Callable[[Sequence[Entry]], Awaitable[None]]) -> None:
        self._perform = perform
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Entry] = []
        self._gate: asyncio.Future[None] | None = None
        self._resting: asyncio.TimerHandle | None = None

    async def write(self, file: FileIO, block: memoryview) -> Entry:
        """Append ``block`` to ``file``, as far as that is possible."""
        entry = Entry(file, block)
        self._waiting.append(entry)
        if len(block) >= LITTLE:
            self._open()
        if len(self._waiting) > 1:
            await entry.done
        else:
            await self._go(at_once=len(block) >= LITTLE)
        return entry

    async def _go(self, *, at_once: bool) -> None:
        if self._resting is not None and not at_once:
            self._gate = self._loop.create_future()
            await self._gate
        entries, self._waiting = self._waiting, []
        try:
            await self._perform(entries)
        finally:
            for entry in entries:
                _settle(entry)
            if self._resting is None:
                self._resting = self._loop.call_later(_PACE, self._rested)

    def _rested(self) -> None:
        self._resting = None
        self._open()

    def _open(self) -> None:
        if self._gate is not None and not self._gate.done():
            self._gate.set_result(None)


def write_all(entries: Sequence[Entry]) -> None:
    """Write each, in order. Blocks."""
    for entry in entries:
        entry.write()


def _settle(entry: Entry) -> None:
    if entry.error is None and entry.written < len(entry.block):
        entry.error = OSError(errno.EIO, "it was not tried")  # no thread was to be had
    entry.done.set_result(None)
