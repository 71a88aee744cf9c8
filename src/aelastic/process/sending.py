"""Sending a rank what it is to do, through the loop."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SendingPipe:
    """A pipe that is written as fast as the rank reads, and no faster."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._loop = asyncio.get_running_loop()
        self._writable: asyncio.Future[None] | None = None

    async def send(self, parts: Iterable[bytes]) -> None:
        """Write ``parts`` and close. A rank that ends before it has read everything is no error here."""
        try:
            for part in parts:
                await self._send(memoryview(part))
        except BrokenPipeError:
            return
        finally:
            self.close()

    def close_read_end(self) -> None:
        """Leave the reading to the rank. Can be called again."""
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def close(self) -> None:
        """Close both ends, also in the middle of ``send``. Can be called again."""
        self.close_read_end()
        if self._writable is not None:
            self._loop.remove_writer(self._write_end)
            self._wake()
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    async def _send(self, rest: memoryview) -> None:
        while rest and self._write_end >= 0:
            try:
                rest = rest[os.write(self._write_end, rest) :]
            except BlockingIOError:
                await self._wait_writable()

    async def _wait_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._write_end, self._wake)
        await self._writable
        self._writable = None
        if self._write_end >= 0:
            self._loop.remove_writer(self._write_end)

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
