"""Log files, written in blocks off the loop. The only module that knows aiofiles."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from typing import TYPE_CHECKING

import aiofiles

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from aiofiles.threadpool.binary import AsyncFileIO

logger = logging.getLogger("aelastic")


class LogFile:
    """A file that takes what it is given, in order, and counts what it could not take.

    A disk that refuses is reported once; writing is tried again with each block, since room may be made.
    """

    def __init__(self, path: str, file: AsyncFileIO) -> None:
        self.path = path
        self.size = 0  # bytes in the file
        self.lost = 0  # bytes that are not
        self._file = file
        self._regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        self._writing = asyncio.Lock()  # several streams may share a file

    async def write(self, block: bytes) -> int | None:
        """Append ``block``; the offset to read it back from, or None when it cannot be read back."""
        async with self._writing:
            start, rest = self.size, memoryview(block)
            while rest:
                try:
                    written = await self._file.write(rest)
                except OSError as error:
                    self._lose(len(rest), error)
                    return None
                self.size += written
                rest = rest[written:]
            return start if self._regular else None

    async def close(self) -> None:
        """Close the file. A disk that refuses even that is reported."""
        try:
            await self._file.close()
        except OSError as error:
            self._lose(0, error)

    def _lose(self, count: int, error: OSError) -> None:
        if not self.lost:
            logger.error("cannot write to %s: %s; the rank goes on, lost bytes are counted", self.path, error.strerror)
        self.lost += count


async def create_log_file(path: str, executor: Executor) -> LogFile:
    """Create or empty the file at ``path``, for its owner alone. Raises ``OSError``."""
    return LogFile(path, await aiofiles.open(path, "wb", buffering=0, opener=_open_private, executor=executor))


def _open_private(path: str, flags: int) -> int:
    """Appending, since a file that somebody else empties meanwhile must not get a hole."""
    return os.open(path, flags | os.O_APPEND, 0o600)
